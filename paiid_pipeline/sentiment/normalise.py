"""Text as a model may read it: bounded, without markup, hidden characters or look-alike letters.

The order matters. The byte cap comes first, so that nothing after it can be made slow; entities are
resolved before NFKC, so that an escaped character is normalised as well; hidden characters go before words
are looked at, since one inside a word would split it; the token cap is last, and counts what a model sees.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass

MAX_BYTES = 65_536
MAX_TOKENS = 512
"""As many words as the longest input of the usual transformers has tokens, or more."""

_MARKUP = re.compile(r"<[a-zA-Z/!]|&[a-zA-Z#]")
_TAG = re.compile(r"(<!--|-->|<[/!]?[a-zA-Z][^<>]*>)")
_TAG_NAME = re.compile(r"<!--|-->|<[/!]?[a-zA-Z][a-zA-Z0-9]*(?=[^<>]*>$)")
_CLOSED_BY = {"<!--": "-->", "<script": "</script", "<style": "</style"}
_INLINE = frozenset({"a", "b", "em", "font", "i", "mark", "small", "span", "strong", "sub", "sup", "u"})
_WORD = re.compile(r"\w+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"
_VARIATION = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_LOOK_ALIKES = str.maketrans(
    "АВСЕНІЈКМОРЅТХҮаеорсухіјѕһԁԛԝӏѵ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαιονρυ",
    "ABCEHIJKMOPSTXYaeopcyxijshdqwlv" + "ABEZHIKMNOPTYXaiovpu",
)


@dataclass(frozen=True)
class NormalisedText:
    """The text, and what had to be done to it: byte_cap | markup | hidden | look_alikes | token_cap."""

    text: str
    flags: tuple[str, ...]


def normalise(text: str) -> NormalisedText:
    """Make ``text`` fit to be scored; an empty result means that there was nothing to read.

    Steps: cap at ``MAX_BYTES`` of UTF-8; HTML to its text (scripts and styles dropped); Unicode NFKC;
    remove invisible, bidirectional and unassigned characters; fold Cyrillic and Greek look-alikes to Latin, only inside
    words that also hold Latin letters (a word wholly in another script is left alone); collapse white
    space; cap at ``MAX_TOKENS`` words. Never raises.
    """
    flags: list[str] = []
    text = _step(flags, "byte_cap", text, _cap_bytes(text))
    if _MARKUP.search(text):
        text = _step(flags, "markup", text, _strip_markup(text))
    text = unicodedata.normalize("NFKC", text)
    text = unicodedata.normalize("NFKC", _step(flags, "hidden", text, _strip_hidden(text)))
    text = _step(flags, "look_alikes", text, _WORD.sub(_fold, text))
    tokens = text.split()
    if len(tokens) > MAX_TOKENS:
        flags.append("token_cap")
    return NormalisedText(" ".join(tokens[:MAX_TOKENS]), tuple(flags))


def _step(flags: list[str], flag: str, before: str, after: str) -> str:
    if before != after:
        flags.append(flag)
    return after


def _cap_bytes(text: str) -> str:
    # Each character has at least one byte, so the slice bounds the work on a text of any size.
    return text[:MAX_BYTES].encode("utf-8", "ignore")[:MAX_BYTES].decode("utf-8", "ignore")


def _strip_markup(text: str) -> str:
    # One pass over the pieces between tags: the standard library's parser takes time in the square of
    # the length on unclosed tags, 26 s at the byte cap.
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


def _strip_hidden(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in _VARIATION.sub("", text) if c.isspace() or not _hidden(c))


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cf", "Cc", "Cn", "Co", "Cs") or character in _BLANK_LETTERS


def _fold(word: re.Match[str]) -> str:
    found = word[0]
    return found if found.isascii() or not _LATIN.search(found) else found.translate(_LOOK_ALIKES)
