"""Whom a text is read for: names found with their boundaries and case, and the clause that speaks of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.sentiment.base import TextInput
from paiid_pipeline.sentiment.text.entities import read_for
from paiid_pipeline.sentiment.text.normalise import normalise
from paiid_pipeline.sentiment.vader import Vader

NAMES = {"AAPL": ["Apple"], "NOK": ["Nokia", "Nokia Oyj"], "V": ["Visa"], "GOOG": ["Google"]}


@pytest.mark.parametrize(
    ("text", "symbol", "entity", "clause"),
    [
        ("Nokia shines; Apple falls", "AAPL", "Apple", "Apple falls"),
        ("Apple rises, but Nokia Oyj slumps on weak demand", "NOK", "Nokia Oyj", "Nokia Oyj slumps on weak demand"),
        ("Apple rises while Nokia slumps", "AAPL", "Apple", "Apple rises"),
        ("Profit fell. Apple beat Nokia. All is well", "NOK", "Nokia", "Apple beat Nokia."),
        ("$NOK up, $AAPL down", "AAPL", "AAPL", "$AAPL down"),
        ("NOK sold 1,200 units: strong", "NOK", "NOK", "NOK sold 1,200 units: strong"),
        ("Pineapple Apples apple", "AAPL", None, None),
        ("Visas are sold by Visa", "V", "Visa", "Visas are sold by Visa"),
        ("nothing of the kind", "AAPL", None, None),
        ("Apple", None, None, None),
        ("", "AAPL", None, None),
    ],
)
def test_each_case(text: str, symbol: str | None, entity: str | None, clause: str | None) -> None:
    assert read_for(text, symbol, NAMES) == TextInput(text, entity, clause)


FIRMS = {
    **NAMES,
    "MSFT": ["Microsoft"], "META": ["Meta"], "A": ["Agilent"], "T": ["AT&T"], "ALL": ["Allstate"], "IT": ["Gartner"],
    "EL": ["Estée Lauder"], "MCD": ["McDonald's"], "KO": ["Coca-Cola"], "BRK.B": ["Berkshire Hathaway"], "F": ["Ford"],
    "JPM": ["JPMorgan"], "GS": ["Goldman Sachs"], "C": ["Citi"], "PG": ["Procter & Gamble"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "symbol", "clause"),
    [
        ("Apple (NASDAQ: AAPL) plunges after fraud probe", "AAPL", None),
        ("Apple Inc. (AAPL) shares plunge on fraud probe", "AAPL", None),
        ("Meta: 25% Upside As It Climbs, a great win", "META", None),
        ("Apple falls as it warns, but Microsoft gains", "AAPL", "Apple falls as it warns"),
        ("Apple, Microsoft and Nvidia plunge on tariff fears", "AAPL", None),
        ("Apple, Microsoft and Nvidia plunge on tariffs", "MSFT", "Microsoft and Nvidia plunge on tariffs"),
        ("Apple, the iPhone maker, plunges on fraud probe", "AAPL", None),
        ("Ford Motor Co. (NYSE: F) wins praise; Apple falls", "F", "Ford Motor Co. (NYSE: F) wins praise"),
        ("JPMorgan, Goldman Sachs slump while Citi jumps", "JPM", "JPMorgan, Goldman Sachs slump"),
        ("JPMorgan, Goldman Sachs slump while Citi jumps", "GS", "Goldman Sachs slump"),
        ("JPMorgan, Goldman Sachs slump while Citi jumps", "C", "Citi jumps"),
        ("Shares of Apple fall as Microsoft gains", "AAPL", "Shares of Apple fall"),
        ("Outlook is bleak for Apple, Microsoft", "MSFT", "Outlook is bleak for Apple, Microsoft"),
    ],
)
def test_a_clause_says_something_of_its_name(text: str, symbol: str, clause: str | None) -> None:
    assert read_for(text, symbol, FIRMS).clause == (clause or text)


@pytest.mark.parametrize(
    ("text", "symbol", "clause"),
    [
        ("Apple rises; shares of suppliers fall", "AAPL", None),
        ("Profit warning: Apple falls. Its outlook is weak", "AAPL", None),
        ("Apple rises as iPhone sales grow, but analysts see risk", "AAPL", None),
        ("Apple Inc. (FRA: APC) falls; outlook cut", "AAPL", None),
        ("Apple (NASDAQ: AAPL) falls; Apple suppliers rise", "AAPL", None),
        ("Berkshire Hathaway (NYSE: BRK/A) gains; $BRK.B at a peak", "BRK.B", None),
        ("Apple rises; Goldman Sachs slumps", "AAPL", "Apple rises"),
        ("Apple rises; COCA COLA slumps", "AAPL", "Apple rises"),
        ("Apple rises; MSFT slumps", "AAPL", "Apple rises"),
        ("Apple rises; $XYZ slumps", "AAPL", "Apple rises"),
        ("Apple rises; Acme (NYSE: ACM) slumps", "AAPL", "Apple rises"),
        ("Apple rises, but Acme slumps", "AAPL", "Apple rises"),
        ("Acme Wins Great Praise, While Apple Misses Badly", "AAPL", "Apple Misses Badly"),
        ("APPLE RISES, BUT OUTLOOK DIMS", "AAPL", None),
    ],
)
def test_a_text_is_parted_only_where_somebody_else_is_named(text: str, symbol: str, clause: str | None) -> None:
    assert read_for(text, symbol, FIRMS).clause == (clause or text)


@pytest.mark.parametrize("shared", ["Google rises; $GOOGL at a peak", "Alphabet (NASDAQ: GOOGL) rises; outlook raised"])
def test_two_classes_of_shares_are_one_firm(shared: str) -> None:
    names = {"GOOG": ["Google", "Alphabet"], "GOOGL": ["Google", "Alphabet"], **{"AAPL": ["Apple"]}}
    assert read_for(shared, "GOOG", names).clause == shared


@pytest.mark.parametrize(
    ("text", "symbol", "entity"),
    [
        ("A Strong Quarter For Thermo Fisher, But Agilent Misses Badly", "A", "Agilent"),
        ("A strong quarter", "A", None),
        ("Agilent (NYSE: A) misses", "A", "Agilent"),
        ("Results (NYSE: A) miss; $T up", "T", "T"),
        ("Results of (NYSE: A) miss", "A", "A"),
        ("Model T revival wins praise, but AT&T plunges", "T", "AT&T"),
        ("ALL EYES ON NVIDIA, WHILE ALLSTATE PLUNGES", "ALL", "ALLSTATE"),
        ("ALL EYES ON NVIDIA", "ALL", None),
        ("Estee Lauder plunges", "EL", "Estee Lauder"),
        ("ESTEE-LAUDER plunges", "EL", "ESTEE-LAUDER"),
        ("McDonald's and Mcdonalds", "MCD", "McDonald's"),
        ("MCDONALDS' sales", "MCD", "MCDONALDS"),
        ("coca-cola plunges", "KO", "coca-cola"),
        ("BRK-B falls", "BRK.B", "BRK-B"),
        ("$BRK/B falls", "BRK.B", "BRK/B"),
        ("BERKSHIRE HATHAWAY's profit", "BRK.B", "BERKSHIRE HATHAWAY"),
        ("Procter and Gamble gains", "PG", "Procter and Gamble"),
        ("an apple, a Pineapple and Apples", "AAPL", None),
    ],
)
def test_names_however_they_are_spelt(text: str, symbol: str, entity: str | None) -> None:
    assert read_for(text, symbol, FIRMS).entity == entity


@given(st.text(alphabet="aN okiA.,;:-&$ but while\n", max_size=80), st.sampled_from(["Nokia", "NOK", "$NOK"]))
def test_a_clause_is_a_part_of_the_text_that_holds_the_name(filler: str, name: str) -> None:
    text = f"{filler} {name} {filler}"
    text_input = read_for(text, "NOK", NAMES)
    assert text_input.entity is not None
    assert text_input.clause is not None
    assert text_input.clause in text
    assert text_input.entity in text_input.clause


def test_clauses_are_better_than_headlines_for_a_member_that_knows_no_entities(data_dir: Path) -> None:
    """The class by the sign of VADER's score: of headlines about several firms, all and those that conflict; of one."""
    every = pl.read_csv(data_dir / "sentiment" / "sentfin_entities.csv", infer_schema=False)
    named = {text: {each: [each] for each in found} for text, found in every.group_by("text").agg("entity").iter_rows()}
    rows = every.filter(pl.col("n_entities") != "1")
    texts = [normalise(text).text for text in rows["text"]]
    truth = [{"negative": -1, "neutral": 0, "positive": 1}[label] for label in rows["label"]]
    conflicts = [each.lower() == "true" for each in rows["conflict"]]

    def right(inputs: list[TextInput]) -> tuple[float, float]:
        scores = [prediction.score for prediction in Vader().score(inputs)]
        hits = [(s > 0) - (s < 0) == wanted for s, wanted in zip(scores, truth, strict=True)]
        among = [hit for hit, conflict in zip(hits, conflicts, strict=True) if conflict]
        return sum(hits) / len(hits), sum(among) / len(among)

    all_by_clause, conflicts_by_clause = right(
        [read_for(text, name, {}) for text, name in zip(texts, rows["entity"], strict=True)]
    )
    known = [named[text] for text in rows["text"]]
    assert right([read_for(*each) for each in zip(texts, rows["entity"], known, strict=True)])[0] >= all_by_clause
    all_whole, conflicts_whole = right([TextInput(text) for text in texts])
    assert all_by_clause > all_whole
    assert conflicts_by_clause > conflicts_whole + 0.04
