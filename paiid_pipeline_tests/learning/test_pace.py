"""Progress is said with the time left, at most every few seconds, and at the end of each epoch."""

from __future__ import annotations

from paiid_pipeline.learning.pace import Pace
from paiid_pipeline.models.training import Progress


def test_the_time_left_follows_the_pace_and_the_next_training_starts_anew() -> None:
    said, now = list[str](), [0.0]
    pace = Pace(said.append, every=30, clock=lambda: now[0])
    for step in range(50, 1050, 50):
        now[0] += 10
        pace(Progress(0, step, 1000, 0.5, 0.8 if step == 1000 else None))
    assert said[0] == "training 1: step 50 of 1000, loss 0.500, time left unknown"
    assert said[1] == "training 1: step 200 of 1000, loss 0.500, 3 min left"
    assert said[-1] == "training 1: step 1000 of 1000, loss 0.500, validation macro-F1 0.800"
    assert len(said) == 8
    now[0] += 30
    pace(Progress(0, 1050, 2000, 0.4, None), "fold 1, ")
    assert said[-1] == "fold 1, training 2: step 1050 of 2000, loss 0.400, time left unknown"
