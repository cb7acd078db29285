"""Progress lines of a training: step, loss, validation score and time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from paiid_pipeline.ml.text.training import Progress

_FIRST_REPORT = 50


class ProgressReporter:
    """Prints the progress of trainings at most every ``every`` seconds, and at the end of each epoch."""

    def __init__(
        self, say: Callable[[str], None], every: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._every, self._clock = say, every, clock
        self._training = self._steps = 0
        self._first = self._last = (clock(), 0)
        self._reported = -every
        self._over = False

    def __call__(self, seen: Progress, of: str = "") -> None:
        """Take a report, prefixed with ``of``. A restarted or changed step count begins the next training."""
        now = self._clock()
        if self._over or seen.steps != self._steps or seen.step < self._last[1]:
            self._training, self._steps = self._training + 1, seen.steps
            # A later first report is of a resumed training, whose speed is not known yet.
            self._first = (self._last[0], 0) if seen.step <= _FIRST_REPORT else (now, seen.step)
        self._last = now, seen.step
        self._over = seen.step >= seen.steps and seen.validation_macro_f1 is not None
        if seen.validation_macro_f1 is None and now - self._reported < self._every:
            return
        self._reported = now
        self._say(of + self._line(seen))

    def _line(self, seen: Progress) -> str:
        measured = f", validation macro-F1 {seen.validation_macro_f1:.3f}" if seen.validation_macro_f1 else ""
        where = f"training {self._training}: step {seen.step} of {seen.steps}, loss {seen.loss:.3f}{measured}"
        return where if seen.step >= seen.steps else f"{where}, {self._left(seen)}"

    def _left(self, seen: Progress) -> str:
        seconds, steps = self._last[0] - self._first[0], self._last[1] - self._first[1]
        if not steps:
            return "time left unknown"
        left = seconds / steps * (seen.steps - seen.step)
        return f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
