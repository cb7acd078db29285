"""Synthetic sentences on companies' results and events, with labels that follow from their numbers and words.

Headlines seldom contain "net sales totalled EUR 12.1 mn, down from EUR 13.4 mn"; reports do, and most of their
sentences are neutral. These are generated from the templates in `synthetic_sentences.toml` beside this module, so that
a model learns what up and down mean for sales and for losses. No sentence of any data set went into the templates.
"""

from __future__ import annotations

import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from paiid_pipeline.ml.text.datasets import ROWS
from paiid_pipeline.sentiment.labels import LABELS, Label

SURE: Final = 0.93
"""The target probability of the label; lower than for human labels."""

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


BALANCED: Final = 0.41
"""The fraction of neutral sentences that roughly balances the labels."""
REAL: Final = 0.6
"""Approximately their fraction in reports."""


def result_sentences(count: int, seed: int = 0, plain: float = BALANCED) -> pl.DataFrame:
    """``count`` distinct rows of `datasets.ROWS` with the source ``results``; deterministic.

    ``plain``: the fraction of neutral ones, in (0, 1).
    """
    rng = random.Random(f"results/{seed}")  # noqa: S311 - not for secrets
    made: dict[str, Label] = {}
    while len(made) < count:
        text, label = _sentence(rng, plain)
        made.setdefault(text, label)
    rest = (1 - SURE) / 2
    return pl.DataFrame(
        [
            {"id": f"results-{seed}-{i}", "source": "results", "text": text, "entity": None, "label": label}
            | {f"p_{each}": SURE if each == label else rest for each in LABELS}
            | {"agreement": 100, "conflict": False}
            for i, (text, label) in enumerate(made.items())
        ],
        schema=ROWS,
    )


def _sentence(rng: random.Random, plain: float) -> tuple[str, Label]:
    form, label = _form(rng, plain)
    while choice := _CHOICE.search(form):
        form = form[: choice.start()] + rng.choice(choice[1].split("|")) + form[choice.end() :]
    words = _words(rng, label)
    text = " ".join(form.format(**words).format(**words).split()).replace(" ,", ",").replace(" .", ".")
    text = text[0].upper() + text[1:]
    # Report sentences are often stored tokenised.
    return (
        (text.replace("'s", " 's").replace(",", " ,").rstrip(".") + " .", label)
        if rng.random() < 0.6
        else (text, label)
    )


def _form(rng: random.Random, plain: float) -> tuple[str, Label]:
    kind, has = rng.random() / (1 - plain), _content()
    if kind < 28 / 59:
        return rng.choice(has["changes"]["forms"]), rng.choice(("positive", "negative"))
    if kind < 36 / 59:
        return rng.choice([(form, label) for label in ("positive", "negative") for form in has["losses"][label]])
    if kind < 50 / 59:
        return rng.choice(has["events"]["positive"]), "positive"
    if kind < 1:
        return rng.choice(has["events"]["negative"]), "negative"
    return rng.choice(has["facts"]["neutral"]), "neutral"


def _words(rng: random.Random, label: Label) -> dict[str, str]:
    has = _content()["words"]
    low = rng.choice((rng.uniform(0.2, 9.9), rng.uniform(10, 99), rng.uniform(100, 500)))
    high = low * rng.uniform(1.05, 1.9)
    now, then = (low, high) if label == "negative" else (high, low)
    margin, eps = rng.uniform(2, 14), rng.uniform(0.05, 1.5)
    currency, unit = rng.choice(has["currencies"]), rng.choice(has["units"])
    change = _content()["changes"]["down" if label == "negative" else "up"]
    measure, other_measure = rng.sample(has["measures"], 2)
    loss = rng.choice(has["losses"])

    def money(amount: float) -> str:
        return f"{currency} {amount:.1f} {unit}"

    def name() -> str:
        return str(rng.choice(has["names"]) + rng.choice(has["forms"]))

    return {
        "name": name(), "other": name(), "name2": name(),
        "period": rng.choice(has["periods"]), "period2": rng.choice(has["periods"]),
        "place": rng.choice(has["places"]), "goods": rng.choice(has["goods"]),
        "day": rng.choice(has["days"]), "role": rng.choice(has["roles"]),
        "count": str(rng.randint(20, 9000)), "few": str(rng.randint(3, 40)), "share": f"{rng.uniform(5, 95):.1f}",
        "percent": f"{abs(now / then - 1) * 100:.1f}",
        "margin": f"{margin * (now / then):.1f}", "margin_then": f"{margin:.1f}",
        "eps": f"{eps * (now / then):.2f}", "eps_then": f"{eps:.2f}",
        "now": money(now), "then": money(then), "small": money(low), "large": money(high),
        "measure": measure, "Measure": measure[0].upper() + measure[1:], "measure2": other_measure,
        "loss": loss, "Loss": loss.capitalize(),
        "verb": rng.choice(change["verbs"]), "verb2": rng.choice(change["verbs"]), "way": change["way"],
        "changed": change["changed"], "future": change["future"], "comparative": change["comparative"],
        "noun": rng.choice(change["nouns"]),
    }  # fmt: skip


@cache
def _content() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("synthetic_sentences.toml").read_text("utf-8"))
