"""Repairs mojibake, and normalises quotation marks and dashes to ASCII.

UTF-8 decoded as another encoding shows two to four characters for each (donâ€™t for don’t), more if decoded so twice.
Each such group is repaired on its own, since a text may be affected in part.
"""

from __future__ import annotations

import re
from functools import cache

_MOST_ROUNDS = 3
_C1_READ = {chr(byte): bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0)}
_BYTES = {**{chr(byte): byte for byte in range(0x80, 0x100)}, **{c: ord(c1) for c1, c in _C1_READ.items() if c}}
"""Bytes by character of Latin-1 or Windows-1252, which has signs where Latin-1 has controls."""
_TAIL = "".join(sign for sign, byte in _BYTES.items() if byte < 0xC0)
_MISREAD = re.compile(
    rf"[ÂÃ][{_TAIL}]|[ÄÅ][{_TAIL}](?=[A-Za-z])|(?<=[A-Za-zƒ])[ÄÅ][{_TAIL}]"
    rf"|(?:[Î-ÑØ-Û][{_TAIL}]){{2,}}|[âï][{_TAIL}]{{2}}|(?:[ã-í][{_TAIL}]{{2}}){{2,}}|ð[{_TAIL}]{{3}}"
)
_CUT = re.compile(
    r"â€(?=\W|$)|(?<!\+)Â(?= )|(?<=[a-z])Ã (?= |[a-z])|(?<=n)â(?=t(?!\w))|(?<=[A-Za-z])â(?=(?:s|re|ve|ll)(?!\w))"
)
_CUT_READ = {"â€": '"', "Â": "", "Ã ": "à", "â": "'"}
"""Repairs of groups whose last, invisible character was lost or became a space."""
_OTHER_ENCODINGS = ("cp437", "cp850", "mac_roman")
_OFTEN_MISREAD = "‘’“”–—…•€™" + "".join(map(chr, range(0xC0, 0x100)))
_FIRST_SIGNS = "ÂÃÄÅÎÏÐÑØÙÚÛâãäåæçèéêëìíïð‚√ΓÔ├"
_FIRST_SIGN = re.compile(f"[{_FIRST_SIGNS}]")
_ANY_SIGN = re.compile(rf"[{_FIRST_SIGNS}\x80-\x9f]")
_C1 = re.compile(r"[\x80-\x9f]")
_LOST = re.compile(r"[\ufffd?](?<=[A-Za-z].)\ufffd{0,2}(?=(?:[tsdm]|re|ve|ll)(?![\w=&]))")
_PARTED = re.compile(
    r"\b((?:[Aa]i|[Aa]re|[Cc]a|[DdHh]ad|[Cc]ould|[Dd]id|[Dd]oes|[Dd]o|[Hh]as|[Hh]ave|[Ii]s|[Nn]eed"
    r"|[Ss]hould|[Ww]as|[Ww]ere|[Ww]o|[Ww]ould)n) t\b"
)
_KEYS = {
    **dict.fromkeys("’‘‛ʼʻ`´′＇", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–−", "-"),
    **dict.fromkeys("—―⸺⸻", " - "),
    "…": "...",
}
_SIGN = re.compile(f"[{''.join(_KEYS)}]")
_BETWEEN_WORDS = re.compile(r"[-.](?<=[^\W\d_].)(?:(?<=-)-+|(?<=\.)\.{2,})(?=[^\W\d_])")
"""The lookbehind follows the sign in the pattern, which is several times faster."""


def undo_misreading(text: str) -> str:
    """Undo up to three rounds of mojibake; other text is unchanged.

    Groups are replaced only where they are valid UTF-8 of plausible characters: Latin letters, punctuation, signs and
    emoji; letters of other scripts where several come together.
    """
    if text.isascii() or not _ANY_SIGN.search(text):
        return text
    for _ in range(_MOST_ROUNDS):
        if not _FIRST_SIGN.search(text):
            break
        before, text = text, _MISREAD.sub(_read_again, _from_others(text))
        if text == before:
            text = _CUT.sub(lambda cut: _CUT_READ[cut[0]], text)
            break
    return _C1.sub(lambda control: _C1_READ[control[0]] or control[0], text)


def as_typed(text: str) -> str:
    """ASCII apostrophes, quotation marks, hyphens and dashes.

    Lost apostrophes are restored (don?t, don t); dashes and ellipses are separated from the words around them.
    """
    if "?" in text or "\ufffd" in text:
        text = _LOST.sub("'", text)
    if not text.isascii() or "`" in text:
        text = _SIGN.sub(lambda sign: _KEYS[sign[0]], text)  # translate takes several times as long
    if "n t" in text:
        text = _PARTED.sub(r"\1't", text)
    if "..." in text or "--" in text:
        text = _BETWEEN_WORDS.sub(lambda sign: f"{sign[0]} " if sign[0][0] == "." else " - ", text)
    return text


def _read_again(group: re.Match[str]) -> str:
    try:
        return bytes(_BYTES[sign] for sign in group[0]).decode()
    except UnicodeDecodeError:
        return group[0]


def _from_others(text: str) -> str:
    groups, characters = _others()
    return groups.sub(lambda group: characters[group[0]], text)


@cache
def _others() -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern of common characters decoded as DOS or old Macintosh encodings, and their repairs."""
    seen = {c.encode().decode(encoding): c for encoding in _OTHER_ENCODINGS for c in _OFTEN_MISREAD}
    return re.compile("|".join(map(re.escape, sorted(seen)))), seen
