"""Progress is said with the time left, at most every few seconds, and at the end of each epoch."""

from __future__ import annotations

from paiid_pipeline.ml.text.progress import ProgressReporter
from paiid_pipeline.ml.text.training import Progress


def test_the_time_left_follows_the_pace_and_the_next_training_starts_anew() -> None:
    said, now = list[str](), [0.0]
    pace = ProgressReporter(said.append, every=30, clock=lambda: now[0])
    for step in range(50, 1050, 50):
        now[0] += 10
        pace(Progress(0, step, 1000, 0.5, 0.8 if step == 1000 else None))
    assert said[0] == "training 1: step 50 of 1000, loss 0.500, 3 min left"
    assert said[2] == "training 1: step 350 of 1000, loss 0.500, 2 min left"
    assert said[-1] == "training 1: step 1000 of 1000, loss 0.500, validation macro-F1 0.800"
    assert len(said) == 8
    now[0] += 30
    pace(Progress(0, 50, 100, 0.4, None), "fold 1, ")
    assert said[-1] == "fold 1, training 2: step 50 of 100, loss 0.400, 30 s left"


def test_two_trainings_of_one_length_are_two() -> None:
    said: list[str] = []
    pace = ProgressReporter(said.append, every=0, clock=lambda: 0.0)
    for _seed in range(2):
        pace(Progress(0, 37, 37, 0.4, None))
        pace(Progress(1, 37, 37, 0.4, 0.7))
    assert [line.split(":")[0] for line in said] == ["training 1", "training 1", "training 2", "training 2"]


def test_the_pace_of_a_training_that_went_on_is_not_guessed() -> None:
    said, now = list[str](), [0.0]
    pace = ProgressReporter(said.append, every=0, clock=lambda: now[0])
    for step in (550, 600):
        now[0] += 100
        pace(Progress(0, step, 700, 0.4, None))
    assert [line.rsplit(", ", 1)[1] for line in said] == ["time left unknown", "3 min left"]
