"""The rules file: what is read from it, that scores have no cliffs, and that a wrong one is refused with a remedy."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.signals.rules import OWN_RULES, Rule, load_rules

SHIPPED = load_rules()
LEVELS = [rule for rule in SHIPPED.rules if rule.level]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str], Path]:
    """The shipped file with one piece of text in place of another."""

    def change(old: str, new: str) -> Path:
        text = OWN_RULES.read_text()
        assert old in text
        file = tmp_path / "mine.toml"
        file.write_text(text.replace(old, new, 1))
        return file

    return change


def scores(rule: Rule, values: list[float | None]) -> list[float | None]:
    """The scores of a level rule for values of its input."""
    read = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    plain = Rule(**{**vars(rule), "reads": "rsi_14"})
    return read.rename({"x": "rsi_14"}).select(plain.score.alias("score"))["score"].to_list()


@pytest.mark.parametrize("rule", LEVELS, ids=lambda rule: rule.name)
@given(value=st.floats(-300, 300), step=st.floats(0, 1e-6))
def test_scores_have_no_cliffs_and_stay_in_bounds(rule: Rule, value: float, step: float) -> None:
    """A small step of the value is a small step of the score, wherever it is taken."""
    steepest = max(abs((y1 - y0) / (x1 - x0)) for (x0, y0), (x1, y1) in zip(rule.points, rule.points[1:], strict=False))
    here, there = scores(rule, [value, value + step])
    assert -1 <= here <= 1  # type: ignore[operator]
    assert abs(there - here) <= steepest * step + 1e-9  # type: ignore[operator]


@pytest.mark.parametrize("rule", LEVELS, ids=lambda rule: rule.name)
def test_a_score_goes_through_the_points_of_the_file_and_a_missing_value_has_none(rule: Rule) -> None:
    values, wanted = zip(*rule.points, strict=True)
    assert scores(rule, list(values)) == pytest.approx(list(wanted), abs=1e-12)
    assert scores(rule, [None, float("nan"), float("inf")]) == [None] * 3


def test_rsi_29_and_31_say_nearly_the_same() -> None:
    """The predecessor scored them +0.8 and -0.95."""
    [rsi] = [rule for rule in SHIPPED.rules if rule.name == "rsi"]
    low, high = scores(rsi, [29.0, 31.0])
    assert low == pytest.approx(0.55)
    assert high == pytest.approx(0.45)


def test_the_version_follows_the_content_and_not_the_comments(changed: Callable[[str, str], Path]) -> None:
    assert load_rules().version == SHIPPED.version
    assert load_rules(changed("# What decides", "# Who decides")).version == SHIPPED.version
    for old, new in (
        ("buy = 0.15", "buy = 0.16"),
        ("max_symbol = 0.1 ", "max_symbol = 0.05 "),
        ('"oversold"', '"low"'),
    ):
        assert load_rules(changed(old, new)).version != SHIPPED.version
    assert load_rules(changed('name = "paiid"', 'name = "mine"')).version.startswith("mine-")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'reads = "rsi_14"',
            'reads = "rsi_41"',
            r"\[rules.rsi\] reads = 'rsi_41': unknown input: did you mean 'rsi_14'",
        ),
        (
            'reads = "macd_cross"',
            'reads = "rsi_14"',
            r"\[rules.macd_cross\] reads = 'rsi_14': it is a number: give points",
        ),
        ('reads = "obv_share"', 'reads = "regime"', r"\[rules.volume\] reads = 'regime': it is a word: give scores"),
        ("weight = 1.5", "weight = -1", r"\[rules.sentiment\] weight = -1: give a number from 0.001 to 100"),
        ("weight = 1.5", "wieght = 1.5", r"\[rules.sentiment\] wieght = 1.5: unknown key: did you mean 'weight'"),
        ("weight = 1.5", "", r"\[rules.sentiment\] weight is missing"),
        ("weight = 1.5", "weight = true", r"weight = True: give a number"),
        ("weight = 1.5", "weight = nan", r"weight = nan: give a number"),
        ("points = [[-1, -1.0], [1, 1.0]]", "points = [[1, -1.0], [-1, 1.0]]", r"points = .*ascending"),
        ("points = [[-1, -1.0], [1, 1.0]]", "points = [[-1, -1.0], [1, 1.5]]", r"points = .*each score from -1 to 1"),
        ("points = [[-1, -1.0], [1, 1.0]]", "points = [[-1, -1.0]]", r"at least two pairs"),
        ("points = [[-1, -1.0], [1, 1.0]]", "", r"\[rules.sentiment\] scores is missing: give either points or scores"),
        ("bullish = 1.0", "bulish = 1.0", r"\[rules.macd_cross.scores\] bulish = 1.0: .*did you mean 'bullish'"),
        ("{ trend = 0.75 }", "{ trending = 0.75 }", r"\[rules.rsi.regimes\] trending = 0.75: .*did you mean 'trend'"),
        ("{value:.1f}: {word}", "{valeu:.1f}", r"\[rules.rsi\] text = .*unknown field \{valeu\}: did you mean 'value'"),
        ("{value:.1f}: {word}", "{value.__class__}", r"unknown field \{value.__class__\}"),
        ("{value:.1f}: {word}", "{value:.1q}", r"\[rules.rsi\] text = .*write fields as"),
        ("{value:.1f}: {word}", "{value", r"\[rules.rsi\] text = .*write fields as"),
        ('[inf, "overbought"]', '[90, "overbought"]', r"words = .*the last value being inf"),
        ("[classes]", "[clases]", r"clases = .*unknown key: did you mean 'classes'"),
        ("strong = 0.3 ", "strong = 0.1 ", r"\[classes\] strong = 0.1: give a number from 0.15 to 1"),
        ("max_symbol = 0.1 ", "max_symbol = 0.4 ", r"\[risk\] max_symbol = 0.4: give a number from 0 to 0.3"),
        ("stop_atr = 4.0", "stop_atr = 0", r"\[risk.intraday\] stop_atr = 0: give a number from 0.1 to 100"),
        ("[risk.daily]", "[risk.dayly]", r"\[risk\] dayly = .*did you mean 'daily'"),
        ('name = "paiid"', 'name = ""', r"name = '': give a text"),
        ('name = "paiid"', "name = ", r"cannot be read as TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_file_key_value_and_remedy(
    changed: Callable[[str, str], Path], old: str, new: str, said: str
) -> None:
    file = changed(old, new)
    with pytest.raises(ValueError, match=said) as refused:
        load_rules(file)
    assert str(file) in str(refused.value)


def test_no_file_and_no_rules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.toml does not exist: set PAIID_RULES"):
        load_rules(tmp_path / "nowhere.toml")
    empty = tmp_path / "empty.toml"
    empty.write_text('name = "x"\n')
    with pytest.raises(ValueError, match=r"rules is missing: write at least one table"):
        load_rules(empty)


def test_every_rule_of_the_shipped_file_says_something_readable() -> None:
    """With a value from each stretch of its words, and with the other numbers missing."""
    content = tomllib.loads(OWN_RULES.read_text())["rules"]
    for rule in SHIPPED.rules:
        values = [bound - 0.01 for bound, _ in rule.bounds[:-1]] + [1e3] if rule.level else list(rule.scores)
        said = {rule.describe(value, {}) for value in values}
        assert len(said) == len(values)
        assert len(values) == len(content[rule.name]["words"])
        assert all("{" not in text and len(text) > 10 for text in said)
