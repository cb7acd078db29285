"""The promotion gate of signal models: significantly better than the rules and uninformed strategies."""

from __future__ import annotations

import math
from collections.abc import Mapping

from paiid_pipeline.ml.signals.evaluation import CHAMPION, MIN_MOMENTS, Comparison, ForecastQuality, SignalEvaluation
from paiid_pipeline.ml.verdict import GateResult

MIN_PROBABILITY = 0.95
"""Minimum deflated probability of being better than a rival."""


def judge_signals(evaluation: SignalEvaluation, caught: Mapping[str, str]) -> GateResult:
    """The verdict with a reason for each test, failed ones first.

    ``caught``: features that look ahead, each with its evidence; one is enough to refuse. Otherwise the rank IC and the
    log-loss gain must be above 0, the backtest better than each rival's (95 % interval of the difference and deflated
    probability), and better than random permutations of its own positions.
    """
    answers = [(False, f"refused: {name} looks ahead: {how}") for name, how in caught.items()]
    answers += [_ranks(evaluation.model), _forecasts(evaluation.model)]
    answers += [_beats(each, evaluation.trials) for each in evaluation.comparisons]
    answers.append(_beats_random(evaluation.random_share))
    answers.sort(key=lambda answer: answer[0])
    return GateResult(all(passed for passed, _ in answers), tuple(text for _, text in answers))


def _ranks(model: ForecastQuality) -> tuple[bool, str]:
    passed = model.ic_low > 0
    found = f"rank IC {model.ic:+.4f} (95 %: {model.ic_low:+.4f} to {model.ic_high:+.4f}, {model.times} decision times)"
    return passed, f"{'ranks returns' if passed else 'does not rank returns beyond noise'}: {found}"


def _forecasts(model: ForecastQuality) -> tuple[bool, str]:
    passed = model.gain_low > 0
    found = f"log-loss lower by {model.gain:+.5f} (95 %: {model.gain_low:+.5f} to {model.gain_high:+.5f})"
    says = "says more than the classes' shares" if passed else "says no more than the classes' shares"
    return passed, f"{says}: {found}"


def _beats(each: Comparison, trials: int) -> tuple[bool, str]:
    if each.rival == CHAMPION and each.bars < MIN_MOMENTS:
        return (
            False,
            f"not compared with the champion: {each.bars} bars since its training, {MIN_MOMENTS} are asked for",
        )
    if math.isnan(each.sharpe):
        return False, f"not better than {each.rival}: it took no position"
    passed = each.low > 0 and each.deflated >= MIN_PROBABILITY
    return passed, (
        f"{'better than' if passed else 'not better than'} {each.rival}: Sharpe {each.sharpe:.2f} to "
        f"{'–' if math.isnan(each.rival_sharpe) else format(each.rival_sharpe, '.2f')} net of costs, difference a bar "
        f"{each.difference:+.4f} (95 %: {each.low:+.4f} to {each.high:+.4f}), probability above 0 after "
        f"{trials} trials {each.deflated:.3f}"
    )


def _beats_random(share: float) -> tuple[bool, str]:
    passed = share <= 1 - MIN_PROBABILITY
    if math.isnan(share):
        return False, "not better than random: it took no position"
    return (
        passed,
        f"{'better than' if passed else 'not better than'} random: {share:.1%} of random strategies do as well",
    )
