"""Texts and articles to scores: the ensemble and its members, odd articles, missing and failing members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from paiid_pipeline.quality.rows import ARTICLE_SENTIMENT as RULES
from paiid_pipeline.schemas import ARTICLE_SENTIMENT, NEWS, empty
from paiid_pipeline.sentiment.analyzer import SentimentAnalyzer
from paiid_pipeline.sentiment.base import Failure, ModelError, Prediction, TextInput
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, select_models
from paiid_pipeline.sentiment.text.wire_corrections import lead_of
from paiid_pipeline.sentiment.vader import UNINFORMED, Vader, model_version

AT = datetime(2014, 6, 9, 14, tzinfo=UTC)
VADER_ALONE = f"seed.1(vader {model_version()})"


@dataclass(frozen=True)
class Scripted:
    """A member that says of a text, or of an entity in it, what the test wrote down."""

    name: str
    says: dict[str, Prediction]
    version: str = "7"
    cost_ms: float = 10.0

    def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
        return [self.says.get(r.entity or "", self.says["*"]) for r in inputs]


class Broken(Scripted):
    def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
        raise ModelError(f"cannot score {len(inputs)}")


GLAD, SAD = Prediction((0.1, 0.2, 0.7), 0.7), Prediction((0.8, 0.1, 0.1), 0.8)


def article(
    name: str, headline: str | None, summary: str | None, symbols: Sequence[str | None] | None, content: str = "c"
) -> pl.DataFrame:
    row = (name, AT, AT, "test", headline, summary, "", symbols, content)
    return pl.DataFrame([row], schema=NEWS, orient="row")


def with_members(*members: Scripted, names: dict[str, list[str]] | None = None) -> SentimentAnalyzer:
    return SentimentAnalyzer(select_models([Vader(), *members], {}, DEFAULT_WEIGHTS), names=names or {})


def ensemble_rows(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("model") == "ensemble")


def test_one_row_a_version_symbol_and_model() -> None:
    news = pl.concat(
        [
            article("a", "Great profit", "", ["AAPL", "TWX", "AAPL"], "v1"),
            article("a", "Great loss", "", ["AAPL"], "v2"),
            article("a", "Great loss", "", ["AAPL"], "v2"),
            article("b", "Nothing", "", []),
            article("c", "Nothing", "", None),
            article("d", "Nothing", "", [None]),
        ]
    )
    got = with_members(Scripted("custom_bert", {"*": GLAD})).score_articles(news)
    assert got.schema == pl.Schema(ARTICLE_SENTIMENT)
    assert ensemble_rows(got).select("article_id", "content_hash", "symbol").rows() == [
        ("a", "v1", "AAPL"),
        ("a", "v1", "TWX"),
        ("a", "v2", "AAPL"),
    ]
    assert got["model"].to_list() == ["custom_bert", "vader", "ensemble"] * 3
    assert got.filter(pl.col("model") == "custom_bert")["model_version"].unique().to_list() == ["7"]
    for rule, holds in RULES.items():
        assert got.select(holds.all()).item(), rule


def test_headline_and_summary_are_each_read_once() -> None:
    analyzer = SentimentAnalyzer()
    parts = [
        ("Great profit", "Terrible fraud and loss"),
        ("Great profit", "Great profit was made"),
        (None, "Great profit"),
        ("Great profit", None),
    ]
    got = [analyzer.score_articles(article("a", h, s, ["X"]))["score"][0] for h, s in parts]
    texts = ["Great profit Terrible fraud and loss", "Great profit was made", "Great profit", "Great profit"]
    assert got == [analyzer.analyze_sentiment(text).score for text in texts]


def test_an_article_without_words_is_neutral_without_confidence() -> None:
    row = ensemble_rows(SentimentAnalyzer().score_articles(article("a", None, None, ["X"]))).row(0, named=True)
    assert (row["score"], row["confidence"], row["p_neutral"]) == (0.0, 0.0, 1.0)
    assert "empty" in row["flags"]


def test_no_articles_give_no_rows() -> None:
    assert SentimentAnalyzer().score_articles(empty(NEWS)).schema == pl.Schema(ARTICLE_SENTIMENT)
    assert SentimentAnalyzer().analyze_batch([]) == []


def test_one_text_gives_the_same_as_an_article() -> None:
    result = SentimentAnalyzer().analyze_sentiment("Terrible fraud")
    row = ensemble_rows(SentimentAnalyzer().score_articles(article("a", "Terrible fraud", "", ["X"]))).row(
        0, named=True
    )
    assert (result.model, result.model_version, result.score) == (row["model"], row["model_version"], row["score"])
    assert result.p_negative == row["p_negative"] > 0.5
    assert result.label == "negative"


@given(st.text(max_size=60) | st.sampled_from(["Great profit", "awful loss", "", "no words known"]))
def test_with_vader_alone_the_ensemble_is_vader_and_says_who_is_missing(text: str) -> None:
    result = SentimentAnalyzer().analyze_sentiment(text)
    (member,) = result.members
    assert (result.score, result.p_negative, result.p_neutral, result.p_positive) == (
        member.score,
        member.p_negative,
        member.p_neutral,
        member.p_positive,
    )
    assert result.confidence == (
        min(member.confidence, UNINFORMED) if "non_english" in result.flags else member.confidence
    )
    assert result.flags[-2:] == ("missing:custom_bert", "missing:finbert")
    assert result.model_version == VADER_ALONE


def test_the_formula_with_two_members() -> None:
    """Weights 0.3 x 0.7 and VADER's 0.3 x 1/3: the rest reweighted, FinBERT said to be missing."""
    result = with_members(Scripted("custom_bert", {"*": GLAD})).analyze_sentiment("Quarterly report filed")
    ours, theirs = 0.3 * 0.7, 0.3 / 3
    assert result.p_positive == pytest.approx(ours * 0.7 / (ours + theirs))
    assert result.p_neutral == pytest.approx((ours * 0.2 + theirs) / (ours + theirs))
    assert result.confidence == max(result.p_negative, result.p_neutral, result.p_positive) < (0.7 + 1 / 3) / 2
    assert [flag for flag in result.flags if flag.startswith("missing")] == ["missing:finbert"]
    assert result.model_version == f"seed.1(custom_bert 7, vader {model_version()})"


def test_why_a_member_failed_is_told_in_one_line_without_personal_data() -> None:
    class Talkative(Scripted):
        def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
            raise ModelError(f"cannot read {len(inputs)}\n  'mail ann@example.com' " + "x" * 10_000)

    failed: dict[str, Failure] = {}
    with_members(Talkative("finbert", {})).analyze_batch(["Up", "Down"], failed=failed)
    assert failed["finbert"].texts == 2
    assert failed["finbert"].reason.startswith("cannot read 2 'mail [email]' xxx")
    assert len(failed["finbert"].reason) < 1000
    assert list(failed) == ["finbert"]


def test_a_member_that_fails_is_left_out_and_named() -> None:
    result = with_members(Broken("custom_bert", {})).analyze_sentiment("Great profit")
    assert "missing:custom_bert" in result.flags
    assert result.model_version == VADER_ALONE
    assert result.score == SentimentAnalyzer().analyze_sentiment("Great profit").score


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction((NAN, NAN, NAN), NAN),
        Prediction((0.2, 0.3, 0.5), NAN),
        Prediction((INF, 0.0, 0.0), 1.0),
        Prediction((-0.5, 0.5, 1.0), 1.0),
        Prediction((0.9, 0.9, 0.9), 0.9),
        Prediction((0.5, 0.5), 0.5),  # type: ignore[arg-type]
        None,
    ],
)
def test_what_is_no_prediction_is_missing_for_its_text_alone(prediction: Prediction) -> None:
    class Odd(Scripted):
        def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
            return [prediction if "odd" in each.text else GLAD for each in inputs]

    failed: dict[str, Failure] = {}
    analyzer = with_members(Odd("finbert", {}))
    news = pl.concat([article("a", "An odd loss", "", ["X"]), article("b", "A great profit", "", ["X"])])
    found = ensemble_rows(analyzer.score_articles(news, failed)).to_dicts()
    rows = {row["article_id"]: row for row in found}
    assert "missing:finbert" in rows["a"]["flags"]
    assert rows["a"]["score"] == SentimentAnalyzer().analyze_sentiment("An odd loss").score
    assert rows["a"]["model_version"] == VADER_ALONE
    assert "missing:finbert" not in rows["b"]["flags"]
    assert rows["b"]["model_version"] == analyzer.model_version.replace("custom_bert 7, ", "")
    assert failed["finbert"].texts == 1


@pytest.mark.parametrize("error", [ModelError("no"), ValueError("bad"), IndexError("out"), MemoryError("full")])
def test_a_text_on_which_a_member_fails_costs_the_others_nothing(error: Exception) -> None:
    class Touchy(Scripted):
        def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
            if any("odd" in each.text for each in inputs):
                raise error
            return [GLAD for _ in inputs]

    analyzer = with_members(Touchy("custom_bert", {}))
    odd, plain = analyzer.analyze_batch(["An odd loss", "A great profit"])
    assert ("missing:custom_bert" in odd.flags, "missing:custom_bert" in plain.flags) == (True, False)
    assert plain == analyzer.analyze_sentiment("A great profit")


@pytest.mark.parametrize("answers", [[], [GLAD] * 3])
def test_a_member_that_answers_for_another_number_of_texts_is_missing(answers: list[Prediction]) -> None:
    class Short(Scripted):
        def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
            return answers[: len(inputs) + 1]

    assert all("missing:finbert" in one.flags for one in with_members(Short("finbert", {})).analyze_batch(["a", "b"]))


def test_where_no_member_predicts_the_score_counts_for_nothing() -> None:
    class Blind(Vader):
        def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
            return [Prediction((NAN, NAN, NAN), NAN) for _ in inputs]

    result = SentimentAnalyzer(select_models([Blind()], {}, DEFAULT_WEIGHTS)).analyze_sentiment("Great profit")
    assert (result.score, result.confidence, result.members) == (0.0, 0.0, ())
    assert {"missing:vader", "missing:finbert"} <= set(result.flags)


def test_an_article_about_several_symbols_has_a_score_for_each() -> None:
    analyzer = with_members(
        Scripted("finbert", {"*": GLAD, "Apple": GLAD, "Nokia": SAD}), names={"AAPL": ["Apple"], "NOK": ["Nokia"]}
    )
    both = ensemble_rows(analyzer.score_articles(article("a", "Apple beats Nokia", "", ["AAPL", "NOK"])))
    one = ensemble_rows(analyzer.score_articles(article("a", "Apple beats Nokia", "", ["NOK"])))
    assert both["score"][0] > 0 > both["score"][1] == one["score"][0]
    assert analyzer.analyze_sentiment("Apple beats Nokia", "NOK").score == both["score"][1]


_PIECES = ["Apple", "Nokia", "$NOK", "rises", "great profit", "awful fraud", "but", "while", ";", ",", ".", "Acme",
           "UPDATE 1-", "(Correct)", "as", "(NYSE: ACM)", "it's", "\n", "&amp;", "CORRECTED-"]  # fmt: skip


@given(
    st.lists(st.sampled_from(_PIECES), max_size=14).map(" ".join) | st.text(max_size=60),
    st.sampled_from([["NOK"], ["NOK", "AAPL"], ["NOK", "XYZ", "AAPL"]]),
)
@example("Apple wins great praise; Nokia plunges on awful fraud", ["NOK"])
@example("UPDATE 1-Nokia plunges, but Acme gains (Correct)", ["NOK", "XYZ"])
@example("Great profit\nNokia sees awful fraud - UPDATE", ["NOK"])
def test_a_text_is_read_for_a_symbol_as_an_article_with_it_is(text: str, symbols: list[str]) -> None:
    """Whatever other symbols the article has, and however its words are split into headline and summary."""
    analyzer = SentimentAnalyzer(names={"AAPL": ["Apple"], "NOK": ["Nokia"]})
    alone = [analyzer.analyze_sentiment(text, symbol) for symbol in symbols]
    rows = ensemble_rows(analyzer.score_articles(article("a", text, "", symbols)))
    numbers = rows.select("score", "p_negative", "p_neutral", "p_positive", "confidence").rows()
    assert numbers == [(r.score, r.p_negative, r.p_neutral, r.p_positive, r.confidence) for r in alone]
    headline, _, summary = text.strip().partition("\n")
    # A summary that repeats its headline is the whole text.
    assume(not summary.strip() or not summary.strip().startswith(lead_of(headline, summary).headline))
    parted = ensemble_rows(analyzer.score_articles(article("a", headline, summary, symbols)))
    assert parted["score"].to_list() == rows["score"].to_list()


def test_personal_data_reaches_no_member() -> None:
    seen: list[str] = []

    class Curious(Scripted):
        def score(self, inputs: Sequence[TextInput]) -> list[Prediction]:
            seen.extend(each.text for each in inputs)
            return super().score(inputs)

    result = with_members(Curious("finbert", {"*": GLAD})).analyze_sentiment("mail bob@mail.example.com")
    assert seen == ["mail [email]"]
    assert "email" in result.flags


def test_a_disguise_is_undone_counted_and_flagged() -> None:
    plain = SentimentAnalyzer().analyze_sentiment("fraud and loss")
    disguised = SentimentAnalyzer().analyze_sentiment("fr\u0430ud and l\u200boss")
    assert disguised.score == plain.score < 0
    assert (plain.tamper, disguised.tamper) == (0.0, 0.75)
    assert "tampered" in disguised.flags
