"""Sentences about companies' results whose label follows from the numbers and words in them.

Headlines seldom say "net sales totalled EUR 12.1 mn, down from EUR 13.4 mn"; reports do. These sentences are
written by rule, so that a model may learn what up and down mean for sales and for losses. No sentence of
any data set went into them.
"""

from __future__ import annotations

import random
from typing import Final

import polars as pl

from paiid_pipeline.models.datasets import ROWS
from paiid_pipeline.models.labels import LABELS, Label

SURE: Final = 0.93
"""The share of the target that goes to the label; rules are right less often than people."""

_NAMES = (
    "Northfield", "Hartwell", "Ostrava", "Lindqvist", "Belmor", "Castellan", "Varga", "Trellis", "Quantor", "Aldena",
    "Norrland", "Sundale", "Pemberly", "Korvus", "Almgren", "Tessaro", "Brightwater", "Halden", "Meridian", "Oakhurst",
    "Solvane", "Kestrel", "Ravenna", "Dunmore", "Falkor", "Juniper",
)  # fmt: skip
_FORMS = (" Oyj", " plc", " Inc.", " AB", " Group", " Corp", " SA", " AG", "", "", "")
_CURRENCIES = ("EUR", "USD", "SEK", "GBP", "Rs")
_UNITS = ("mn", "million", "m", "bn")
_GOOD_WHEN_UP = (
    "net sales", "operating profit", "net profit", "revenue", "pre-tax profit", "earnings per share", "order intake",
    "order backlog", "turnover", "EBITDA", "profit for the period", "net interest income",
)  # fmt: skip
_LOSSES = ("net loss", "operating loss", "pre-tax loss")
_PERIODS = (
    "the third quarter of 2009", "the first half of 2007", "January-September 2010", "the second quarter", "2008",
    "the fourth quarter of 2006", "the financial year 2011", "the review period", "the first quarter",
)  # fmt: skip
_PLACES = ("Warsaw", "Tallinn", "Gothenburg", "Pune", "Leeds", "Lyon", "Shanghai", "Turku", "Ohio", "Gdansk")
_GOODS = (
    "lifting equipment", "mobile software", "forest machines", "steel plates", "dairy products", "office space",
    "paper machinery", "network services", "elevators", "medical diagnostics",
)  # fmt: skip

_CHANGES = {
    "positive": (("rose", "increased", "grew", "climbed", "improved", "was up"), "up", "raised", "increase"),
    "negative": (("fell", "decreased", "declined", "dropped", "slipped", "was down"), "down", "lowered", "decrease"),
}
_CHANGE_FORMS = (
    "{name}'s {measure} {verb} to {now} from {then} in {period}.",
    "In {period}, {name}'s {measure} {verb} by {percent} % to {now}.",
    "{Measure} totalled {now}, {way} from {then} a year earlier.",
    "{Measure} amounted to {now}, compared with {then} in the corresponding period.",
    "{name} reported {measure} of {now} for {period}, against {then} a year ago.",
    "{Measure} {verb} {percent} % year-on-year to {now}.",
    "The company's {measure} in {period} was {now} ({then}).",
    "{name} {measure} {now} vs {then} a year earlier",
    "{name} expects its {measure} to {future} in {period}.",
    "{name} {changed} its full-year {measure} forecast to {now} from {then}.",
)
_LOSS_FORMS: tuple[tuple[str, Label], ...] = (
    ("{name}'s {loss} narrowed to {small} from {large} in {period}.", "positive"),
    ("{Loss} totalled {small}, down from {large} a year earlier.", "positive"),
    ("The {loss} was {small}, compared with a loss of {large} a year earlier.", "positive"),
    ("{name} swung to a profit of {small} in {period} from a loss of {large} a year earlier.", "positive"),
    ("{name} posted a net profit of {small}, against a net loss of {large} the year before.", "positive"),
    ("{name}'s {loss} widened to {large} from {small} in {period}.", "negative"),
    ("{Loss} totalled {large}, up from {small} a year earlier.", "negative"),
    ("The {loss} was {large}, compared with a loss of {small} a year earlier.", "negative"),
    ("{name} swung to a loss of {small} in {period} from a profit of {large} a year earlier.", "negative"),
    ("{name} posted a net loss of {small}, against a net profit of {large} the year before.", "negative"),
)
_EVENT_FORMS: tuple[tuple[str, Label], ...] = (
    ("{name} has won an order for {goods} from a customer in {place}.", "positive"),
    ("{name} signed a long-term agreement to supply {goods} to {place}.", "positive"),
    ("{name} will open a new plant in {place} to meet growing demand for {goods}.", "positive"),
    ("The cooperation will strengthen {name}'s position in {goods}.", "positive"),
    ("{name}'s board proposes a higher dividend after a strong year.", "positive"),
    ("{name} will lay off {count} employees at its {place} plant.", "negative"),
    ("{name} plans to close its {goods} factory in {place} because of weak demand.", "negative"),
    ("{name} warned that its full-year profit will fall short of expectations.", "negative"),
    ("{name} lost a contract for {goods} in {place}.", "negative"),
    ("Shares in {name} fell {percent} %.", "negative"),
)
_PLAIN_FORMS = (
    "{name} is a supplier of {goods} headquartered in {place}.",
    "The company employs {count} people and had net sales of {now} in 2008.",
    "The value of the deal was not disclosed.",
    "{name} has appointed a new chief financial officer as of 1 March.",
    "The building in {place} has a total floor area of {count} square metres.",
    "{name} will publish its report for {period} on 4 May.",
    "The shares of {name} are listed on the stock exchange in {place}.",
    "The total value of the order is about {now}.",
    "After the transaction {name} will hold {percent} % of the shares and votes.",
    "{name} delivers {goods} to customers in {place} and elsewhere.",
    "The subscription period of the new shares begins on 15 June.",
    "Operating profit excluding non-recurring items was unchanged at {now}.",
    "Turnover in {period} was {now}.",
    "The financial terms of the agreement were not made public.",
    "Completion of the acquisition is subject to approval by the competition authorities.",
)


def result_sentences(count: int, seed: int = 0) -> pl.DataFrame:
    """``count`` distinct rows of `datasets.ROWS` with the source ``results``; the same ones for the same seed."""
    rng = random.Random(f"results/{seed}")  # noqa: S311 - what sentences are made is no secret
    made: dict[str, Label] = {}
    while len(made) < count:
        text, label = _sentence(rng)
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


def _sentence(rng: random.Random) -> tuple[str, Label]:
    kind = rng.random()
    if kind < 0.4:
        label: Label = rng.choice(("positive", "negative"))
        form = rng.choice(_CHANGE_FORMS)
    elif kind < 0.52:
        form, label = rng.choice(_LOSS_FORMS)
    elif kind < 0.68:
        form, label = rng.choice(_EVENT_FORMS)
    else:
        form, label = rng.choice(_PLAIN_FORMS), "neutral"
    text = form.format(**_words(rng, label))
    # Reports are often stored with their punctuation set apart.
    return (
        (text.replace("'s", " 's").replace(",", " ,").rstrip(".") + " .", label)
        if rng.random() < 0.6
        else (text, label)
    )


def _words(rng: random.Random, label: Label) -> dict[str, str]:
    low = rng.choice((rng.uniform(0.2, 9.9), rng.uniform(10, 99), rng.uniform(100, 500)))
    high = low * rng.uniform(1.05, 1.9)
    now, then = (low, high) if label == "negative" else (high, low)
    currency, unit = rng.choice(_CURRENCIES), rng.choice(_UNITS)
    verbs, way, changed, future = _CHANGES.get(label, _CHANGES["positive"])
    measure, loss = rng.choice(_GOOD_WHEN_UP), rng.choice(_LOSSES)

    def money(amount: float) -> str:
        return f"{currency} {amount:.1f} {unit}"

    return {
        "name": rng.choice(_NAMES) + rng.choice(_FORMS), "period": rng.choice(_PERIODS), "place": rng.choice(_PLACES),
        "goods": rng.choice(_GOODS), "count": str(rng.randint(20, 9000)), "percent": f"{abs(now / then - 1) * 100:.1f}",
        "now": money(now), "then": money(then), "small": money(low), "large": money(high),
        "measure": measure, "Measure": measure[0].upper() + measure[1:], "loss": loss, "Loss": loss.capitalize(),
        "verb": rng.choice(verbs), "way": way, "changed": changed, "future": future,
    }  # fmt: skip
