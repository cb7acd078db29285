"""Masks personal data in a text: e-mail addresses, phone, card and account numbers, and user handles.

A match is replaced by a word in brackets, so that the text stays a sentence. A number is masked as a card or account
only by its check digits (Luhn; ISO 7064 mod 97) or a word such as "account" beside it, since prices, volumes and dates
must be kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}(?![\w@])")
_EMAIL_BY_NUMBER = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@\[?(?:\d{1,3}\.){3}\d{1,3}\]?(?![\w@])")
_EMAIL_IN_WORDS = re.compile(
    r"(?i)(?<![\w.+-])[\w.+-]{1,64} ?[\[(] ?at ?[\])] ?(?:[\w-]{1,63}(?:\.| ?[\[(] ?dot ?[\])] ?)){1,8}"
    r"[a-z]{2,24}(?!\w)"
)
_AT_IN_WORDS = re.compile(r"[\[(] ?[Aa][Tt] ?[\])]")
_HANDLE = re.compile(
    r"@(?<![\w@].)(?!(?:rs|usd|eur|gbp|inr|aud|cad|chf|jpy)?\d[\d.,]*(?:[kmbcpx]|bn|mn|mm|tn|cr|am|pm|pct|bps)?(?!\w))"
    r"\w{2,30}(?![\w@])",
    re.IGNORECASE,
)
"""A handle; "@150.25" and "@Rs1,200" are prices."""
_CARD = re.compile(
    r"(?<![\w.,-])(?:\d{13,19}|\d{4}([ .–_-])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ .–_-])\d{6}\2\d{4,5})(?![\w-]|[.,]\d)"
)
_ISSUED = re.compile(r"4|5[0-8]|6|2[2-7]\d{14}|35\d{14}|3[47]\d{13}$|3[0689]\d{12}$")
"""Prefixes of card numbers, by their length (ISO/IEC 7812)."""
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?!\w)")
_ACCOUNT = re.compile(
    r"(?i)\b((?:account|acct|a/c|routing|iban|sort code|ssn|social security)"
    r"(?:\s*(?:number|no|nr|code|num|is|ending(?: in)?)\b\.?){0,2}\s*[:#.]?\s*#?\s*)"
    r"(?!\d{1,3}(?: \d{3})+(?![ -]?\d))((?=[\d -]{6,})\d(?:[ -]?\d){5,16})(?![\d,]|\.\d)"
)
_SSN = re.compile(r"(?<![\w.,-])\d{3}-\d{2}-\d{4}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.,+-])(?<!\d )(?:"
    r"(?>\+\d{1,3}(?:(?:[ -]?\(?\d{1,5}\)?){2,5}|(?:\.\d{2,5}){2,4}))"  # international
    r"|(?>00[1-9](?=(?:[ ()-]*\d){8})\d{0,2}[ -](?:[ -]?\(?\d{1,5}\)?){2,5})"
    r"|(?:1[ .-])?\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,4}"  # area code in brackets
    r"|(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4}"  # 212-555-0147
    r"|(?:1 )?[2-9]\d{2} [2-9]\d{2} \d{4}"
    r"|0[1-9]\d{1,3}[ -]\d{3,4}[ -]\d{3,4}"  # trunk prefix
    r")(?![\w-]|[.,]\d|\s?%)"
)
_PHONE_NAMED = re.compile(
    r"(?i)\b((?:phone|tel|telephone|mobile|cell|fax|call|dial|whatsapp|sms)"
    r"(?: (?:me|us))?(?: (?:at|on|number|no))?[.:]? ?)"
    r"(\d{7,15}|\d{3}-\d{4}|\d{2,4}[ -](?:\d{6,8}|\d{3,4}[ -]\d{3,4}))(?![\w-]|[.,]\d|\s?%)"
)
_DIGITS = re.compile(r"\d(?:\D{0,3}+\d){5}")
_NUMBER = re.compile(r"\d(?:[ ().–_-]{0,3}+\d){5}")
"""A necessary condition of all numbers but an IBAN, which has letters among its digits."""
_IN_THREES = re.compile(r"\+(\d{1,3})((?:[ .]\d{3})+)$")
_COUNTRY = re.compile(
    r"2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|50|59|6[7-9]|8[0578]|9[679])\d"
)
"""Calling codes (ITU E.164) but 1 and 7, after which ten digits follow, so that they do not come in threes."""
_IS_MEASURED = re.compile(
    r"(?i)\s?(?:%|€|(?:million|billion|thousand|euros?|dollars|eur|usd|gbp|shares|units|users|customers|clients"
    r"|subscribers|accounts|people|jobs|tonnes|tons|barrels|points|orders|bonds"
    r"|(?:this|last|in the|per) (?:day|week|month|quarter|year))\b)"
)
"""Words after a number that is a quantity."""
_REPORTS = re.compile(
    r"(?i)\b(?:sales|profits?|income|earnings|revenues?|turnover|loss|cash|assets|net|total\w*|rose|fell|grew|change"
    r"|compared (?:to|with)|against|from|eur|usd)\b[^.;]{0,30}$"
)
_RING = re.compile(
    r"(?i)\b(?:phone|tel|telephone|mobile|cell|fax|call|dial|contact|ring|text|whatsapp|sms)\b[^;]{0,30}$"
)
_NUMBERED = re.compile(r"(?i)number|\bno\b|\bnr\b|code|\bnum\b|\bis\b|ending|[:#]|iban|ssn|social|routing|a/c|acct")
_COUNTS = re.compile(
    r"(?i)\b(?:adds?|added|adding|gains?|gained|loses?|lost|opens?|opened|sheds?|won|wins?) (?:\w+ ){0,2}$"
)
_FEWEST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 8, 15


def mask(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with ``[email]``, ``[card]``, ``[account]``, ``[phone]`` and ``@user`` in place of personal data.

    Also returns which of email | card | account | phone | handle were found. Expects normalised text; linear time.
    """
    found: list[str] = []
    if ("(" in text or "[" in text) and _AT_IN_WORDS.search(text):
        text = _sub(_EMAIL_IN_WORDS, lambda _m: "[email]", text, "email", found)
    if "@" in text:
        text = _sub(_EMAIL, lambda _m: "[email]", text, "email", found)
        text = _sub(_EMAIL_BY_NUMBER, lambda _m: "[email]", text, "email", found)
        text = _sub(_HANDLE, lambda _m: "@user", text, "handle", found)
    if _DIGITS.search(text):
        text = _sub(_IBAN, _iban, text, "account", found)
        if _NUMBER.search(text):
            for pattern, replace, kind in _NUMBERS:
                text = _sub(pattern, replace, text, kind, found)
    return text, tuple(dict.fromkeys(found)) if found else ()


def _sub(
    pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str], text: str, kind: str, found: list[str]
) -> str:
    masked = pattern.sub(replace, text)
    if masked != text:
        found.append(kind)
    return masked


def _card(match: re.Match[str]) -> str:
    digits = [int(c) for c in match[0] if c.isdigit()]
    doubled = [d if place % 2 == 0 else d * 2 - 9 * (d > 4) for place, d in enumerate(reversed(digits))]
    issued = _ISSUED.match("".join(map(str, digits)))
    return "[card]" if issued and sum(doubled) % 10 == 0 and 13 <= len(digits) <= 19 else match[0]


def _iban(match: re.Match[str]) -> str:
    # A following word may look like its last group, so shorter matches are tried as well.
    parts = re.split(r"([ -])", match[0])
    for end in range(len(parts), 0, -2):
        code = "".join(parts[0:end:2]).upper()
        if 15 <= len(code) <= 34 and code.isascii() and _checks(code):
            return "[account]" + "".join(parts[end:])
    return match[0]


def _checks(code: str) -> bool:
    return int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _account(match: re.Match[str]) -> str:
    """Mask the number, unless it counts accounts: adds account 405000 this quarter."""
    plain = not _NUMBERED.search(match[1])
    counted = match[2].endswith("00") or _IS_MEASURED.match(match.string, match.end())
    if plain and (counted or _COUNTS.search(match.string, max(0, match.start() - 60), match.start())):
        return match[0]
    return f"{match[1]}[account]"


def _named_phone(match: re.Match[str]) -> str:
    return match[0] if _IS_MEASURED.match(match.string, match.end()) else f"{match[1]}[phone]"


def _phone(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    if match[0][0] == "+" and _is_figure(match):
        return match[0]
    return "[phone]" if _FEWEST_PHONE_DIGITS <= digits <= _MOST_PHONE_DIGITS else match[0]


def _is_figure(match: re.Match[str]) -> bool:
    """Whether a number after a plus sign is an amount, by its context and the grouping of its digits."""
    if _IS_MEASURED.match(match.string, match.end()):
        return True
    threes = _IN_THREES.match(match[0])
    if threes is None:
        return False
    if len(threes[2]) <= 8 or not _COUNTRY.fullmatch(threes[1]):
        return True
    before = match.string[max(0, match.start() - 60) : match.start()]
    return _REPORTS.search(before) is not None and not _RING.search(before)


_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str], str], ...] = (
    (_ACCOUNT, _account, "account"),
    (_SSN, lambda _m: "[account]", "account"),
    (_CARD, _card, "card"),
    (_PHONE, _phone, "phone"),
    (_PHONE_NAMED, _named_phone, "phone"),
)
