"""Normalises text for models: bounded, without markup, hidden characters, look-alike letters or personal data.

The order matters. The byte cap comes first and bounds the time of all that follows; entities and mojibake are resolved
before NFKC, so that an escaped character is normalised as well; hidden characters are removed before words are matched,
since one would split a word; personal data is masked once nothing obscures it, and before leetspeak is resolved, which
would obscure it again; the token cap is last, and counts a model's input.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

from paiid_pipeline.sentiment.text.language import is_english
from paiid_pipeline.sentiment.text.pii import mask
from paiid_pipeline.sentiment.text.typography import as_typed, undo_misreading

MAX_BYTES = 65_536
MAX_TOKENS = 512
"""Maximum words, at least the token limit of the usual transformers."""

_MARKUP = re.compile(r"<[a-zA-Z/!]|&[a-zA-Z#]")
_TAG = re.compile(r"(<!--|-->|<[/!]?[a-zA-Z][^<>]*>)")
_TAG_NAME = re.compile(r"<!--|-->|<[/!]?[a-zA-Z][a-zA-Z0-9]*(?=[^<>]*>$)")
_CLOSED_BY = {"<!--": "-->", "<script": "</script", "<style": "</style"}
_INLINE = frozenset({"a", "b", "em", "font", "i", "mark", "small", "span", "strong", "sub", "sup", "u"})
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[A-Za-z]")
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800\ufffd"
_UNSEEN = ("Cf", "Cc", "Cn", "Co", "Cs")
_VARIATION = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_ODD = re.compile(r"[^\x20-\x7e]")
_JOINED_EMOJI = re.compile(r"(?<=[\U0001f000-\U0001faff\u2190-\u2bff])[\ufe0e\ufe0f\u200d]+")
_INSIDE_WORD = re.compile(r"(?<=\w)[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+(?=\w)")
_CYRILLIC = str.maketrans("АВСЕНІЈКМОРЅТХҮаеорсухіјѕһԁԛԝӏѵкмтвнг", "ABCEHIJKMOPSTXYaeopcyxijshdqwlvkmtbhr")
_GREEK = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβγεηικνορτυχω", "ABEZHIKMNOPTYXabyenikvoptuxw")
_FURTHER = str.maketrans("πσςьпօսհոցѡⲁⲃⲉⲓⲕⲟⲣⲥⲭⲩᎪᏴᏟᎬᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃ", "nosbnouhngwabeikopcxyABCEHJKLMPRSTVWZ")
_LATIN = str.maketrans("ɑɡɩıɪʟɴʀɢʏᴀᴄᴅᴇᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢʙʜꜰ", "agiiilnrgyacdejkmopstuvwzbhf")
"""Phonetic letters and small capitals, folded to Latin in any context."""
_LOOK_ALIKES = {**_CYRILLIC, **_GREEK, **_FURTHER}
_FOLDED = frozenset(map(chr, _LATIN | _LOOK_ALIKES))
_ACCENTED = re.compile(r"[\u00c0-\u024f\u1e00-\u1eff\u0300-\u036f]")
_MARKED = re.compile(r"[A-Za-z][\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]{2,}")
_MARKS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]+")
_BARRED = str.maketrans("øØđĐħĦłŁŧŦ", "oOdDhHlLtT")
_BOX = re.compile(r"[\U0001f150-\U0001f169\U0001f170-\U0001f189]")
_BOXED = {first + i: chr(65 + i) for first in (0x1F150, 0x1F170) for i in range(26)}
_URL = re.compile(
    r"(?i)\b(?:(?:[a-z][a-z0-9+.-]{1,9}://|www\.)\S+"
    r"|(?<![\w.@-])(?:[a-z0-9-]{1,63}\.){1,4}(?:com|org|net|io|co|ly|me|tv|gov|edu|info|biz|us|uk|de|eu|app|news)/\S*)"
)
_CASHTAG = re.compile(r"(?<![\w$])\$[A-Za-z][A-Za-z.]{0,6}(?![\w$])")
_EMOJI = re.compile(r"[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff]")
_LEET_WORD = re.compile(r"(?<![\w$@./:-])(?![QH][1-4])[A-Za-z][a-z013457$@]*[a-z](?![\w$@./:])")
_LEET = re.compile(r"[013457$@](?=[a-z])(?<=[A-Za-z].)")
_AMOUNT = re.compile(
    r"(?:[A-Z]{0,2}\$|Dhs?|DH|R[sS]?|Re|Tk|Rp|RM|SR|QR|KD|BD|[A-Z]{3}|Php|Ks?h|[Kk]r|S?Fr|NIS|Bt|P|Y)[1-9]\d{0,3}"
    r"(?:k|m|mn|mln|mm|b|bn|bln|tn|trn|cr|crore|lakh|lac)"
)
_NAMED = re.compile(
    r"(?i)(?:log4[jp]|neo4j|log4(?:net|perl|cxx|shell)|web3\w*|w3(?:c|schools)|mp[34]s?|ps[345]s|c4(?:isr|d)|h[57]n[13]\w|p2p\w*"
    r"|[a-z]{2,6}[1-9](?:pc|pct))$"
)
"""Words with a digit among their letters, and figures that lost a space: up3pc."""
_NO_WORD = re.compile(
    r"[^aeiouy]+$|.*[jq]$|.*[^aeiouy]{2}[^aeiouysthd]$"
    r"|(?!(?:[bcfgkps]l|[bcdfgkptw]r|[cdgkprstw]h|[gkp]n|ps|qu|[dt]w|s[ckmnpqtvw])?[^aeiouy]?[aeiouy]|sch|s[pt]r|scr|spl|shr|thr|thw|chr|phr|phl)"
)
"""Letters that are no English word: without a vowel, or with impossible consonants at the start or end."""
_LEET_LETTERS = {"0": "o", "3": "e", "4": "a", "5": "s", "7": "t", "$": "s", "@": "a"}
_AT = re.compile(r"[a-z]{5}@", re.IGNORECASE)
_SPREAD = re.compile(r"(?<!\S)\S(?:\s{1,8}\S(?!\S)){3,}")
_SIGNED = re.compile(r"(?<![\w'’&.-])[A-Za-z](?:(?:[^\w\s&'’]|_)[A-Za-z]){3,}(?![\w'’&-])")
_APART = re.compile(r" [^ ] [^ ] [^ ](?![^ ])")
_TWO_SIGNS = re.compile(r"[^A-Za-z0-9 &'’][A-Za-z][^A-Za-z0-9 &'’]")
_WORD_MOST = 7
"""Maximum evenly spaced letters joined to one word; longer runs need a vocabulary (`spelling`)."""
_RUN = re.compile(r"(?<!\S)[A-Za-z](?: [A-Za-z]){3,}(?!\S)")
_FEWEST_CARD = 13
_FIGURE_APART = re.compile(r"(?<=[\d.,]) (?=[\d.,%])")
_OVERRIDE = re.compile(r"(?m)\u202e([^\u202c\u202e\n]+)\u202c|^\u202e([^\u202c\u202e\n]+)$")


@dataclass(frozen=True)
class NormalisedText:
    """The normalised text, and the changes made.

    ``flags``: byte_cap | markup | mojibake | hidden | look_alikes | diacritics | url | email | handle | card |
    account | phone | leetspeak | spaced | token_cap: changed by that step; emoji | cashtag: present and kept;
    non_english: not English; tampered: ``tamper`` is above 0.
    """

    text: str
    flags: tuple[str, ...]
    tamper: float = 0.0
    """Degree of suspected manipulation, in [0, 1]: 1 - 0.5 ** (disguised words)."""


def normalise(text: str) -> NormalisedText:
    """Normalise ``text`` for scoring and storage; empty where it has no content.

    Steps: cap at ``MAX_BYTES`` of UTF-8; HTML to its text (scripts and styles dropped); mojibake undone;
    apostrophes, quotation marks and dashes to ASCII; Unicode NFKC;
    remove invisible, bidirectional and unassigned characters; fold look-alikes to Latin, only inside words
    that also hold Latin letters (a word wholly in another script is left alone); drop accents of Latin
    letters; drop URLs; mask personal data (:func:`~paiid_pipeline.sentiment.text.pii.mask`); resolve
    leetspeak (digits and signs between letters), and join words written letter by letter; collapse white space; cap at
    ``MAX_TOKENS`` words. Never raises.

    A step is skipped where the text lacks what it needs to change anything, as in most texts.
    """
    made = _Steps()
    if len(text) > MAX_BYTES or not text.isascii():
        text = made.step("byte_cap", text, _cap_bytes(text))
    if "<" in text or "&" in text:
        text = made.step("markup", text, _strip_markup(_strip_markup(text)))  # feeds escape twice
    if not text.isascii():
        text = made.step("mojibake", text, undo_misreading(text))
    text = as_typed(text)
    if not text.isascii() or not text.isprintable():
        text = _to_plain(made, text)
    if "/" in text or ("." in text and "www." in text.lower()):
        text = made.step("url", text, _drop_urls(text))
    # Long runs of white space would make the patterns slow.
    flat = _flat(text)
    if _APART.search(flat) or _TWO_SIGNS.search(flat):
        flat = _flat(_close_up(made, text))
    text, masked = mask(flat)
    made.flags += masked
    if _LEET.search(text):
        text = made.disguised("leetspeak", text, _LEET_WORD.sub(_read_leet, text))
    if len(text) > 2 * MAX_TOKENS and text.count(" ") >= MAX_TOKENS:
        text = made.step("token_cap", text, " ".join(text.split(" ", MAX_TOKENS)[:MAX_TOKENS]))
    return NormalisedText(text, (*made.flags, *_marks(text, made)), 1 - 0.5**made.disguises)


class _Steps:
    """The flags of the steps so far, and the number of disguised words."""

    def __init__(self) -> None:
        self.flags: list[str] = []
        self.disguises = 0

    def step(self, flag: str, before: str, after: str) -> str:
        if before != after and flag not in self.flags:
            self.flags.append(flag)
        return after

    def disguised(self, flag: str, before: str, after: str) -> str:
        if before != after:
            self.disguises += _words_changed(before, after)
        return self.step(flag, before, after)


def _to_plain(made: _Steps, text: str) -> str:
    """The steps for text beyond printable ASCII."""
    if "\u202e" in text:
        text = made.disguised("hidden", text, _OVERRIDE.sub(lambda match: (match[1] or match[2])[::-1], text))
    text = unicodedata.normalize("NFKC", text.translate(_BOXED) if _BOX.search(text) else text)
    if "\ufe0f" in text or "\u200d" in text or "\ufe0e" in text:
        text = _JOINED_EMOJI.sub("", text)
    hidden = {ord(c): None for c in set(_ODD.findall(text)) if _hidden(c)}
    if hidden:
        made.disguises += len(_INSIDE_WORD.findall(text))
        text = unicodedata.normalize("NFKC", made.step("hidden", text, text.translate(hidden)))
    if not _FOLDED.isdisjoint(text):
        text = made.disguised("look_alikes", text, _WORD.sub(_fold, text))
    return made.step("diacritics", text, _strip_marks(made, text))


def _drop_urls(text: str) -> str:
    # No URL begins before the word with the first slash, unless it has www; searching from there is faster.
    start = 0 if "www." in text.lower() else text.rfind(" ", 0, text.find("/")) + 1
    return text[:start] + _URL.sub(" ", text[start:])


def _words_changed(before: str, after: str) -> int:
    return max(1, len(set(after.split()) - set(before.split())))


def _marks(text: str, made: _Steps) -> list[str]:
    """Flags of the normalised text's content."""
    seen = ["emoji"] if not text.isascii() and _EMOJI.search(text) else []
    seen += ["cashtag"] if "$" in text and _CASHTAG.search(text) else []
    seen += [] if is_english(text) else ["non_english"]
    seen += ["tampered"] if made.disguises else []
    return seen


def _cap_bytes(text: str) -> str:
    # Each character has at least one byte, so the slice bounds the work on a text of any size.
    return text[:MAX_BYTES].encode("utf-8", "ignore")[:MAX_BYTES].decode("utf-8", "ignore")


def _flat(text: str) -> str:
    """Runs of white space as one space each, and none around the text."""
    flat = text.isprintable() and "  " not in text and text == text.strip()
    return text if flat else " ".join(text.split())


def _strip_markup(text: str) -> str:
    if not _MARKUP.search(text):
        return text
    # One pass over the pieces between tags: the standard library's parser is quadratic on unclosed tags, 26 s at
    # the byte cap.
    kept: list[str] = []
    until = ""
    for piece in _TAG.split(text):
        name = _TAG_NAME.match(piece)
        tag = name[0].lower() if name else ""
        if until:
            until = "" if tag == until else until
        elif tag in _CLOSED_BY:
            until = _CLOSED_BY[tag]
        elif not tag:
            kept.append(piece)
        elif tag.strip("</") not in _INLINE:
            kept.append(" ")
    return html.unescape("".join(kept))


def _hidden(character: str) -> bool:
    unseen = unicodedata.category(character) in _UNSEEN or character in _BLANK_LETTERS
    return (unseen and not character.isspace()) or _VARIATION.match(character) is not None


def _fold(word: re.Match[str]) -> str:
    found = word[0]
    if found.isascii():
        return found
    found = found.translate(_LATIN)
    return found.translate(_LOOK_ALIKES) if _LETTER.search(found) else found


def _strip_marks(made: _Steps, text: str) -> str:
    if not _ACCENTED.search(text):
        return text
    apart = unicodedata.normalize("NFD", text)
    # Vietnamese letters with two marks have a precomposed character; letters without one occur in no language.
    made.disguises += sum(len(unicodedata.normalize("NFC", letter)) > 1 for letter in _MARKED.findall(apart))
    return unicodedata.normalize("NFC", _MARKS.sub("", apart)).translate(_BARRED)


def _read_leet(match: re.Match[str]) -> str:
    word = match[0]
    if word.isalpha():
        return word
    letters = sum(c.isalpha() for c in word)
    if letters < len(word) / 2 or (letters < 3 and not re.search("[03]", word)) or _AT.search(word):
        return word  # a product code, a name such as B2B, or two words joined by "at"
    if _AMOUNT.fullmatch(word) or _NAMED.match(word):
        return word
    read = _LEET.sub(lambda sign: _LEET_LETTERS.get(sign[0]) or _one(word, sign.start()), word)
    return word if _NO_WORD.match(read.lower()) else read


def _one(word: str, place: int) -> str:
    """The letter for a 1: l before a vowel, else i (col1apse, dec1ine; prof1t, fa1l)."""
    return "l" if word[place + 1] in "aeiouAEIOU" else "i"


def _close_up(made: _Steps, text: str) -> str:
    """Join letters that are separated by spaces or signs."""

    def read(words: str | None, match: re.Match[str]) -> str:
        if words is None:
            return match[0]
        made.disguises += 1
        made.flags += [] if "spaced" in made.flags else ["spaced"]
        return words

    text = _SPREAD.sub(lambda match: read(_spread(match[0]), match), text)
    return _SIGNED.sub(lambda match: read(_signed(match[0]), match), text)


def _signed(stretch: str) -> str | None:
    letters = re.sub(r"[^A-Za-z]", "", stretch)
    initials = letters.isupper() and len(letters) < 6 and not {".", "/"}.isdisjoint(stretch)  # U.S.S.R., I/B/E/S
    return None if initials else letters


def _spread(stretch: str) -> str | None:
    """The words of spaced-out characters, split at wider gaps; None: no text."""
    characters, gaps = stretch.split(), [len(gap) for gap in re.findall(r"\s+", stretch)]
    letters = "".join(filter(str.isalpha, characters))
    if "@" in characters or (len(characters) >= _FEWEST_CARD and "".join(characters).isdigit()):
        return "".join(characters)  # so that personal data in it is recognised
    if len(characters) < 6 and not (len(letters) == len(characters) and letters[1:].islower()):
        return None
    if 2 * len(letters) <= len(characters):
        return None
    if max(gaps) > min(gaps):
        parted = [" " * (gap > min(gaps)) + c for gap, c in zip(gaps, characters[1:], strict=True)]
        return characters[0] + "".join(parted)
    return _RUN.sub(_one_word, _FIGURE_APART.sub("", " ".join(characters)))


def _one_word(match: re.Match[str]) -> str:
    letters = match[0].replace(" ", "")
    if len(letters) > _WORD_MOST:
        return match[0]
    # An article before a word is more frequent than a word that begins with an a.
    return f"{letters[0]} {letters[1:]}" if letters[0] in "aA" and len(letters) > 4 else letters
