"""`paiid models …` as a person uses it: train, list, promote back and forth, import, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paiid_pipeline.cli import main
from paiid_pipeline.ml.text import cross_validation
from paiid_pipeline_tests.ml.conftest import tiny_base
from paiid_pipeline_tests.ml.text.conftest import (
    empty_register,
    home,
    labelled_folder,
    learnt,
    made_up,
    renamed,
    small_recipe,
)

__all__ = ["empty_register", "home", "labelled_folder", "learnt", "small_recipe", "tiny_base"]


@pytest.fixture(autouse=True)
def _environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAIID_MODEL_KEY", "PAIID_MODEL_KEY_FILE", "PAIID_DATA_DIR", "PAIID_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAIID_HOME", str(home))


def models(*arguments: object) -> int:
    return main(["models", *map(str, arguments)])


@pytest.mark.slow
def test_a_model_is_trained_listed_scored_and_an_earlier_one_put_back(
    labelled_folder: Path, learnt: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ("--data", labelled_folder, "--epochs", "1", "--base")
    assert models("train", *shown, learnt) == 0
    first = capsys.readouterr()
    assert "custom_bert version 1 is the champion" in first.out
    assert "ensemble version 1 is the champion" in first.out
    assert "700 labelled texts: 350 phrasebank, 250 tweets, 100 entities" in first.err
    assert "training 1: step " in first.err
    assert main(["score", "today the company profit beats", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert [member["model"] for member in scored["members"]] == ["custom_bert", "vader"]
    assert models("train", "--only", "custom_bert", *shown, tiny_base) == 0
    assert "custom_bert version 2 is not promoted" in capsys.readouterr().out
    assert models("list", "custom_bert", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["version"], each["aliases"]) for each in found] == [(2, []), (1, ["champion"])]
    assert found[0]["gate"][0].startswith("not better than the champion, version 1")
    assert len(found[0]["data_sha256"]) == len(found[0]["digest"]) == 64
    assert models("list") == 0
    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()[2:5]] == ["custom_bert"] * 2 + [
        "ensemble"
    ]
    assert models("promote", "custom_bert", "2") == 1
    assert "not better than the champion" in capsys.readouterr().out
    for version in ("2", "1"):
        assert models("promote", "custom_bert", version, "--force") == 0
        assert f"custom_bert version {version} is the champion" in capsys.readouterr().out
    assert main(["score", "today the company profit beats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == scored


@pytest.mark.slow
def test_the_report_is_made_by_one_command_and_a_second_one_trains_nothing(
    labelled_folder: Path, learnt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("report", "--data", labelled_folder, "--base", learnt, "--epochs", "1", "--folds", "0", "--out")
    assert models(*asked, tmp_path / "report.md") == 0
    text = (tmp_path / "report.md").read_text()
    assert "| phrase bank, never seen | 350 | " in text
    assert "| tweets | 0 | 0 | " in text
    monkeypatch.setattr(cross_validation, "train_stage_1", None)
    assert models(*asked, tmp_path / "report.json") == 0
    found = json.loads((tmp_path / "report.json").read_text())
    low, value, high = (found["tweets"]["all"]["accuracy"][name] for name in ("low", "value", "high"))
    assert low <= value <= high


def test_a_model_is_imported_compared_and_refused(
    learnt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nameless = renamed(learnt, tmp_path / "nameless", id2label={str(n): f"LABEL_{n}" for n in range(3)})
    assert models("import", "custom_bert", nameless) == 2
    assert "set id2label in its config.json" in capsys.readouterr().err
    mine = tmp_path / "mine.csv"
    mine.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in made_up(120, 8)))
    assert models("import", "custom_bert", renamed(learnt, tmp_path / "good"), "--labelled", mine) == 0
    made = capsys.readouterr()
    assert "served in float32" in made.err
    assert "better than VADER" in made.out
    assert main(["score", "today the company profit beats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["members"][0]["model"] == "custom_bert"


def test_what_is_missing_is_said_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (("train",), "PAIID_DATA_DIR is not set: set it to a folder"),
        (("train", "--data", tmp_path), "no labelled texts in"),
        (("report", "--data", tmp_path), "no labelled texts in"),
        (("import", "custom_bert", tmp_path / "none"), "is no folder"),
        (("promote", "custom_bert", 3, "--force"), "no version 3 of 'custom_bert': see paiid models list"),
        (("promote", "custom_bert", 3), "materialize sentiment_dataset, or run `paiid models train`"),
    ):
        assert models(*arguments) == 2
        assert said in capsys.readouterr().err
    assert models("list") == 0
    assert "no version of any model is registered" in capsys.readouterr().err
