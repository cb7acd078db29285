"""Text before it is scored: each step, their order, and inputs that are made to be slow or to mislead."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.text import normalise as steps
from paiid_pipeline.sentiment.text.normalise import MAX_BYTES, MAX_TOKENS, NormalisedText, normalise
from paiid_pipeline_tests.sentiment.texts import SPARSE_TEXTS, mixed_texts, real_texts


@pytest.mark.parametrize(
    ("raw", "clean", "flags"),
    [
        ("Apple  beats\nestimates", "Apple beats estimates", ()),
        ("", "", ()),
        ("<p>Great</p><p>loss &amp; fraud</p>", "Great loss & fraud", ("markup",)),
        ("<script>alert('bad')</script>Up<b>beat</b>", "Upbeat", ("markup",)),
        ("&lt;p&gt;AT&amp;amp;T&#8217;s &amp;#112;rofit&lt;/p&gt; &lt; 3", "AT&T's profit < 3", ("markup",)),
        ("before<!-- terrible -->after", "beforeafter", ("markup",)),
        ("price < 3 and P/E > 2 & rising", "price < 3 and P/E > 2 & rising", ()),
        ("Ｆｕｌｌ ｗｉｄｔｈ ①", "Full width 1", ()),
        ("pro\u200bfit\u202e \u00ad\ufeffup", "profit up", ("hidden", "tampered")),
        ("р\u200brоfit", "profit", ("hidden", "look_alikes", "tampered")),
        ("&#1088;rofit", "profit", ("markup", "look_alikes", "tampered")),
        ("прибыль растёт", "прибыль растёт", ("non_english",)),
        ("ΑΒΓ rises", "ΑΒΓ rises", ()),
        ("株価が上昇 🚀", "株価が上昇 🚀", ("emoji", "non_english")),
        ("Der Gewinn ist hoch und steigt", "Der Gewinn ist hoch und steigt", ("non_english",)),
        ("Nestlé and Hermès", "Nestle and Hermes", ("diacritics",)),
        ("p\u0302\u0303rofit", "profit", ("diacritics", "tampered")),
        ("n3t l0ss, fr@ud and col1apse", "net loss, fraud and collapse", ("leetspeak", "tampered")),
        ("f r a u d at a bank, s.h.a.m.e", "fraud at a bank, shame", ("spaced", "tampered")),
        ("N e t  l o s s  o f  E U R  1 . 5  m n", "Net loss of EUR 1.5 mn", ("spaced", "tampered")),
        ("n\u00a0e\u00a0t\u00a0\u00a0l\u00a0o\u00a0s\u00a0s", "net loss", ("spaced", "tampered")),
        ("n e t p r o f i t f e l l", "n e t p r o f i t f e l l", ("spaced", "tampered")),  # for who knows words
        ("in a p r o f i t of", "in a profit of", ("spaced", "tampered")),
        ("f🚀r🚀a🚀u🚀d s/h/a/m/e n_e-t.s", "fraud shame nets", ("spaced", "tampered")),
        ("m e @ m a i l . c o m", "[email]", ("spaced", "email", "tampered")),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]", ("spaced", "card", "tampered")),
        (
            "1 2 3 4 5 6, x = y + z - 1, A B C D, U.S.S.R. I/B/E/S",
            "1 2 3 4 5 6, x = y + z - 1, A B C D, U.S.S.R. I/B/E/S",
            (),
        ),
        ("\u202etiforp\u202c rose", "profit rose", ("hidden", "tampered")),
        ("🅟🅡ofit, Ørsted, Złoty", "PRofit, Orsted, Zloty", ("diacritics",)),
        (
            "B2B G20 COVID19 A380 i7 Q1net L3Harris EUR2m S & P 500 U.S.A.",
            "B2B G20 COVID19 A380 i7 Q1net L3Harris EUR2m S & P 500 U.S.A.",
            (),
        ),
        ("$TSLA up https://t.co/x?y=1 🚀", "$TSLA up 🚀", ("url", "emoji", "cashtag")),
        ("t.co/a1 bit.ly/x?y ftp://a.b/c Amazon.com and/or 24/7", "Amazon.com and/or 24/7", ("url",)),
        ("ᴘʀᴏꜰɪᴛ, ⲣrofit, Ꮲrofit", "profit, profit, Profit", ("look_alikes", "tampered")),
        ("cost $5 or US$7", "cost $5 or US$7", ()),
    ],
)
def test_each_step(raw: str, clean: str, flags: tuple[str, ...]) -> None:
    assert (normalise(raw).text, normalise(raw).flags) == (clean, flags)


def test_the_caps() -> None:
    """Of bytes, never splitting a character, and of words."""
    wide = normalise("я" * MAX_BYTES)
    assert (len(wide.text.encode()), wide.flags) == (MAX_BYTES, ("byte_cap", "non_english"))
    long = normalise("up " * (MAX_TOKENS + 1))
    assert (len(long.text.split()), long.flags) == (MAX_TOKENS, ("token_cap",))


@pytest.mark.parametrize(
    "piece",
    [
        "account ",
        "account  \t",
        "a b ",
        "1.1-1 ",
        "a@",
        "+1 ",
        "DE89 3704",
        "é",
        "x\u200b",
        "www.",
        "l0",
        "<a ",
        "<!--",
        "<",
        "&",
        "&#x",
        "<script>",
        "a\u0301",
        "\u202e",
        "x",
        "</",
        "<b><i>",
    ],
)
def test_ten_megabytes_of_anything_are_bounded(piece: str) -> None:
    """The cap comes before any work; a step quadratic in what it leaves would hang here for half a minute and more."""
    clean = normalise(piece * (10_000_000 // len(piece)))
    assert "byte_cap" in clean.flags
    assert len(clean.text) <= MAX_BYTES


@pytest.mark.parametrize(
    "text",
    [
        "profit rises to Dh5bn, Rs4cr, S$4m, AED5bn and Tk5bn; up3pc",
        "Log4j, Neo4j, Web3, B2B, H1N1, i18n, P2P, C3.ai, F5, 7-Eleven, mp3s, w3schools",
        "5G, Q3FY24, 3M and Rs1,200cr",
    ],
)
def test_amounts_and_names_with_digits_are_no_disguises(text: str) -> None:
    clean = normalise(text)
    assert (clean.text, clean.flags, clean.tamper) == (text, (), 0.0)


def test_letters_of_vietnamese_are_no_disguise() -> None:
    """Of letters with several marks, only those that no language has."""
    assert normalise("Việt Nam, Tân Hiệp Phát, Nguyễn").flags == ("diacritics",)
    assert "tampered" in normalise("pro\u0302\u0303\u0338fit").flags


def test_signs_that_join_emoji_hide_nothing() -> None:
    assert normalise("up \u2714\ufe0f \U0001f525\ufe0f").flags == ("emoji",)


def at_length(raw: str) -> NormalisedText:
    """Every step on every text, whether or not it has something to do there."""
    made = steps._Steps()
    text = made.step("byte_cap", raw, steps._cap_bytes(raw))
    for _ in range(2):
        text = made.step("markup", text, steps._strip_markup(text))
    text = steps.as_typed(made.step("mojibake", text, steps.undo_misreading(text)))
    text = made.disguised("hidden", text, steps._OVERRIDE.sub(lambda match: (match[1] or match[2])[::-1], text))
    text = unicodedata.normalize("NFKC", text.translate(steps._BOXED))
    text = steps._JOINED_EMOJI.sub("", text)
    made.disguises += len(steps._INSIDE_WORD.findall(text))
    seen = "".join(c for c in text if not steps._hidden(c))
    text = unicodedata.normalize("NFKC", made.step("hidden", text, seen))
    text = made.disguised("look_alikes", text, steps._WORD.sub(steps._fold, text))
    text = made.step("diacritics", text, steps._strip_marks(made, text))
    text = made.step("url", text, steps._URL.sub(" ", text))
    text, masked = steps.mask(" ".join(steps._close_up(made, text).split()))
    made.flags += masked
    text = made.disguised("leetspeak", text, steps._LEET_WORD.sub(steps._read_leet, text))
    text = made.step("token_cap", text, " ".join(text.split(" ")[:MAX_TOKENS]))
    return NormalisedText(text, (*made.flags, *steps._marks(text, made)), 1 - 0.5**made.disguises)


@given(mixed_texts | st.text(alphabet="ab0134$@ .é\u0430\u200bо<&;/\n", max_size=60) | st.text(max_size=60))
def test_a_step_is_skipped_only_where_it_would_change_nothing(raw: str) -> None:
    assert normalise(raw) == at_length(raw)


def test_one_thing_to_do_is_enough_for_its_step() -> None:
    assert [text for text in SPARSE_TEXTS if normalise(text) != at_length(text)] == []


def test_no_step_that_a_real_text_needs_is_skipped(data_dir: Path) -> None:
    texts = real_texts(data_dir)
    assert len(texts) > 1000
    assert [text for text in texts if normalise(text) != at_length(text)] == []


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_gives_a_bounded_text_without_hidden_characters(raw: str) -> None:
    """Never raises, and a lone surrogate does not get through to what encodes it."""
    clean = normalise(raw)
    assert len(clean.text.encode()) <= 4 * MAX_BYTES
    assert not set(clean.text) & set("\u200b\u200d\u202e\u2066\ufeff\u00ad\x00")
    assert clean.text == " ".join(clean.text.split())


def test_the_tamper_score_counts_disguised_words() -> None:
    """In [0, 1], growing with each; a byte-order mark, a soft hyphen or one accent is no disguise."""
    assert [normalise(text).tamper for text in ("\ufeffprofit", "pro\u00adfit", "café", "株価")] == [0.0] * 4
    assert [normalise(text).tamper for text in ("l0ss", "l0ss fr@ud", "l0ss fr\u0430ud pro\u200bfit")] == [
        0.5,
        0.75,
        0.875,
    ]


@given(st.text(alphabet="ab0134$@ .é\u0430\u200bо<&;", max_size=60))
def test_the_tamper_score_is_a_share_and_flagged(raw: str) -> None:
    clean = normalise(raw)
    assert 0 <= clean.tamper <= 1
    assert ("tampered" in clean.flags) == (clean.tamper > 0)


def test_clean_financial_texts_are_not_called_disguised(data_dir: Path) -> None:
    """Headlines full of tickers, quarters and sums: none of thousands is changed as if it were disguised."""
    texts = pl.read_csv(data_dir / "sentiment" / "sentfin_headlines.csv")["text"].to_list()
    assert sum(normalise(text).tamper > 0 for text in texts) / len(texts) < 0.001
