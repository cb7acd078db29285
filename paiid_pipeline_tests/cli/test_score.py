"""`paiid score` and the scores of a labelled file, run as a person runs them: without any model but VADER."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paiid_pipeline.cli.score import evaluate
from paiid_pipeline.settings import load_settings


def paiid(home: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAIID_")}
    return subprocess.run(
        [sys.executable, "-m", "paiid_pipeline.cli", *arguments],
        env={**kept, "PAIID_HOME": str(home)}, input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_text_is_scored_and_what_is_missing_is_reported(tmp_path: Path) -> None:
    made = paiid(tmp_path, "score", "Great profit for Apple, but awful fraud at Coke", "--symbol", "KO", "--json")
    found = json.loads(made.stdout)
    assert made.returncode == 0
    assert found["label"] == "negative"
    assert found["score"] == found["p_positive"] - found["p_negative"] < -0.5
    assert [member["model"] for member in found["members"]] == ["vader"]
    assert set(found["left_out"]) == {"custom_bert", "finbert"}
    whole = paiid(tmp_path, "score", text="Great profit for Apple, but awful fraud at Coke")
    assert "ensemble" in whole.stdout
    assert "without finbert: finbert is not installed in" in whole.stderr


def test_a_file_is_measured_for_each_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "text,label,entity\nGreat profit,Bullish,\nApple gains; awful fraud at Xerox,negative,Xerox\nFiled,neutral,\n"
    )
    settings = load_settings({"PAIID_HOME": str(tmp_path)})
    assert evaluate(settings, file, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)["models"]
    assert set(found) == {"vader", "ensemble"}
    assert found["ensemble"]["rows"] == 3
    assert found["ensemble"]["accuracy"]["value"] == 1.0
    assert evaluate(settings, file, as_json=False) == 0
    assert "macro-F1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "named"), [("words,label\na,positive\n", "'text'"), ("text,label\na,LABEL_2\n", "LABEL_2")]
)
def test_a_file_that_cannot_be_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, named: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(content)
    assert evaluate(load_settings({"PAIID_HOME": str(tmp_path)}), file, as_json=False) == 2
    assert named in capsys.readouterr().err


def test_the_command_measures_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\nGreat profit,positive\n")
    made = paiid(tmp_path, "models", "evaluate", str(tmp_path / "mine.csv"), "--json")
    assert json.loads(made.stdout)["models"]["ensemble"]["rows"] == 1
    assert paiid(tmp_path, "models", "evaluate", str(tmp_path / "none.csv")).returncode == 2
    assert paiid(tmp_path, "models").returncode == 2
