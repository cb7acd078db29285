"""Scores texts and articles by each member and the ensemble."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from paiid_pipeline.schemas import ARTICLE_SENTIMENT
from paiid_pipeline.sentiment import ensemble
from paiid_pipeline.sentiment.base import Failure, Prediction, SentimentModel, TextInput, predict_texts
from paiid_pipeline.sentiment.ensemble import DEFAULT_WEIGHTS, EnsembleWeights, Selection
from paiid_pipeline.sentiment.text.company_names import Directory, Names
from paiid_pipeline.sentiment.text.entities import read_for
from paiid_pipeline.sentiment.text.near_duplicates import signature
from paiid_pipeline.sentiment.text.normalise import NormalisedText, normalise
from paiid_pipeline.sentiment.text.pii import mask
from paiid_pipeline.sentiment.text.wire_corrections import lead_of
from paiid_pipeline.sentiment.vader import UNINFORMED, Vader

_LONGEST_REASON = 300


@dataclass(frozen=True)
class MemberResult:
    """The prediction of one member for one text."""

    model: str
    model_version: str
    score: float
    p_negative: float
    p_neutral: float
    p_positive: float
    confidence: float
    flags: tuple[str, ...]

    @property
    def label(self) -> str:
        """The most probable class; neutral in a tie with another."""
        shares = {"neutral": self.p_neutral, "negative": self.p_negative, "positive": self.p_positive}
        return max(shares, key=lambda label: shares[label])


@dataclass(frozen=True)
class SentimentResult(MemberResult):
    """The prediction of the ensemble for one text, with those of its members.

    ``flags``: those of :class:`NormalisedText`; ``empty``; ``no_lexicon_word`` where the text has no word of VADER's
    lexicon; ``unnamed`` where it does not name the symbol and was scored as a whole; ``truncated`` where it exceeds a
    member's token limit; ``missing:<member>`` for each weighted member without a prediction.
    """

    tamper: float = 0.0
    """Degree of suspected manipulation, in [0, 1] (`normalise.NormalisedText.tamper`)."""
    members: tuple[MemberResult, ...] = ()
    """In the order of their names."""
    text: str = ""
    """The members' input: normalised, without personal data."""


@dataclass(frozen=True)
class SentimentAnalyzer:
    """Scores texts and articles, by default with VADER alone. Scores are independent of the batch."""

    route: Selection = field(default_factory=lambda: ensemble.select_models([Vader()], {}, DEFAULT_WEIGHTS))
    blend: EnsembleWeights = DEFAULT_WEIGHTS
    names: Names = field(default_factory=dict)

    model: ClassVar[str] = ensemble.MODEL

    @property
    def model_version(self) -> str:
        """The versions of the ensemble's weights and of its members."""
        return _version(self.blend, self.route.members)

    def analyze_sentiment(self, text: str, symbol: str | None = None) -> SentimentResult:
        """Score one raw text of any length and content; for ``symbol``, where the text names it."""
        return self.analyze_batch([text], [symbol])[0]

    def analyze_batch(
        self,
        texts: Sequence[str],
        symbols: Sequence[str | None] | None = None,
        failed: dict[str, Failure] | None = None,
    ) -> list[SentimentResult]:
        """Score raw texts, in order, each as :meth:`analyze_sentiment` would; agencies' correction marks are stripped.

        A member that fails on a text is left out of its score, and added to ``failed`` by name.
        """
        prepared = {text: normalise(lead_of(text).headline) for text in dict.fromkeys(texts)}
        clean = [prepared[text] for text in texts]
        about = symbols or [None] * len(texts)
        directory = Directory(self.names)
        text_inputs = [read_for(each.text, symbol, directory) for each, symbol in zip(clean, about, strict=True)]
        predicted = self._predict(text_inputs, {} if failed is None else failed)
        unnamed = [symbol is not None and each.entity is None for symbol, each in zip(about, text_inputs, strict=True)]
        return [
            self._result(each, {name: found for name, rows in predicted.items() if (found := rows[row])}, unnamed[row])
            for row, each in enumerate(clean)
        ]

    def score_articles(
        self,
        news: pl.DataFrame,
        failed: dict[str, Failure] | None = None,
        *,
        followed: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """Score articles: `schemas.ARTICLE_SENTIMENT`, one row an article version, symbol and model.

        ``news`` has at least the columns of `schemas.NEWS`. The text scored is the headline, without the agency's
        marks, followed by the summary; once for each symbol, as :meth:`analyze_sentiment` scores it, whatever other
        symbols the article has. Flags include the mark's meaning: ``correction``, ``update`` or ``withdrawal`` of an
        earlier article. Models are the members with a prediction and the ensemble. Articles without symbols have no
        rows, duplicate versions one set. ``failed`` as in :meth:`analyze_batch`; ``followed``: the only symbols scored.
        """
        inputs = _article_inputs(news)
        if followed is not None:
            inputs = inputs.filter(pl.col("symbol").is_in(list(followed)))
        results = self.analyze_batch(inputs["text"].to_list(), inputs["symbol"].to_list(), failed)
        texts = [(headline, result.text) for headline, result in zip(inputs["headline"], results, strict=True)]
        signed = {each: signature(normalise(each[0]).text, each[1]) for each in dict.fromkeys(texts)}
        rows = [
            (*key, each.model, each.model_version, published, each.score, each.p_negative, each.p_neutral,
             each.p_positive, each.confidence, [*each.flags, *marks], signed[text])
            for *key, published, marks, text, result in zip(
                inputs["article_id"], inputs["content_hash"], inputs["symbol"], inputs["published_at"], inputs["marks"],
                texts, results, strict=True,
            )
            for each in (*result.members, result)
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=ARTICLE_SENTIMENT, orient="row")

    def _predict(
        self, text_inputs: Sequence[TextInput], failed: dict[str, Failure]
    ) -> dict[str, list[Prediction | None]]:
        predicted: dict[str, list[Prediction | None]] = {}
        for member in self.route.members:
            predicted[member.name], failure = predict_texts(member, text_inputs)
            if failure:  # also visible in the version and flags of the results
                failed[member.name] = Failure(_one_line(failure.reason), failure.texts)
        return predicted

    def _result(self, clean: NormalisedText, predictions: Mapping[str, Prediction], unnamed: bool) -> SentimentResult:
        used = [member for member in self.route.members if member.name in predictions]
        mixed = self.blend.mix(predictions)
        confidence = min(mixed.confidence, UNINFORMED) if "non_english" in clean.flags else mixed.confidence
        missing = sorted(name for name, weight in self.blend.weights.items() if weight > 0 and name not in predictions)
        own = (flag for prediction in predictions.values() for flag in prediction.flags)
        marked = (*clean.flags, "unnamed") if unnamed else clean.flags
        flags = tuple(dict.fromkeys((*marked, *own, *(f"missing:{name}" for name in missing))))
        members = tuple(
            MemberResult(
                m.name, m.version, *_numbers(predictions[m.name]), flags=(*clean.flags, *predictions[m.name].flags)
            )
            for m in used
        )
        numbers = (*_numbers(mixed)[:4], confidence)
        return SentimentResult(
            self.model,
            _version(self.blend, used),
            *numbers,
            flags=flags,
            tamper=clean.tamper,
            members=members,
            text=clean.text,
        )


def _one_line(reason: str) -> str:
    # A runtime error may quote the text.
    return mask(" ".join(reason.split()))[0][:_LONGEST_REASON]


def _numbers(prediction: Prediction) -> tuple[float, float, float, float, float]:
    return prediction.score, *prediction.probabilities, prediction.confidence


def _version(blend: EnsembleWeights, members: Sequence[SentimentModel]) -> str:
    return f"{blend.version}({', '.join(f'{member.name} {member.version}' for member in members)})"


def _article_inputs(news: pl.DataFrame) -> pl.DataFrame:
    """A row an article version and symbol: its keys, headline, text and marks."""
    versions = news.unique(["article_id", "content_hash"], keep="first", maintain_order=True)
    leads = [lead_of(h or "", s or "") for h, s in zip(versions["headline"], versions["summary"], strict=True)]
    texts = [_text(lead.headline, s) for lead, s in zip(leads, versions["summary"], strict=True)]
    symbols = pl.col("symbols").list.drop_nulls().list.unique(maintain_order=True)
    return (
        versions.select(
            "article_id",
            "content_hash",
            "published_at",
            symbol=symbols,
            headline=pl.Series([lead.headline for lead in leads], dtype=pl.String),
            text=pl.Series(texts, dtype=pl.String),
            marks=pl.Series([[lead.kind] if lead.kind else [] for lead in leads], dtype=pl.List(pl.String)),
        )
        .explode("symbol", empty_as_null=False)
        .drop_nulls("symbol")
    )


def _text(headline: str, summary: str | None) -> str:
    head, tail = headline.strip(), (summary or "").strip()
    return tail if tail.startswith(head) else f"{head}\n{tail}"
