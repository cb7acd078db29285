"""What a person can get wrong ends every command in one line with the remedy: no traceback, no part of a password."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from paiid_pipeline.cli import main
from paiid_pipeline.local.home import redis_database, remembered
from paiid_pipeline.local.processes import tail

COMMANDS = (
    ["up"],
    ["demo"],
    ["with-services", "true"],
    ["sql", "select 1"],
    ["url", "postgres"],
    ["status"],
    ["score", "hi"],
    ["models", "list"],
    ["models", "train"],
    ["audit-lookahead"],
    ["explain", "AAPL"],
)
Said = Callable[..., str]
PASSWORD = "hunter2"
DEAD = f"postgresql://u:{PASSWORD}@127.0.0.1:1/db"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything would be kept; nothing else is set."""
    for name in (
        "SOURCE",
        "DATA_DIR",
        "UNIVERSE",
        "RULES",
        "CLOCK",
        "POSTGRES_URL",
        "REDIS_URL",
        "MODELS",
        "MODEL_KEY",
    ):
        monkeypatch.delenv(f"PAIID_{name}", raising=False)
    monkeypatch.setenv("PAIID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    def run(*words: str, code: int, lines: int = 1, **variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert main(words) == code
        text = capsys.readouterr().err
        assert text.count("\n") == lines, text
        assert PASSWORD not in text
        return text

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_wrong_settings_are_all_said_before_anything_starts(command: list[str], said: Said, home: Path) -> None:
    text = said(*command, code=2, lines=3, PAIID_SOURCE="x", PAIID_WEB_PORT="0", PAIID_POSTGRES_URL=f"x:{PASSWORD}")
    assert all(f"paiid: PAIID_{name}" in text for name in ("SOURCE='x'", "WEB_PORT='0'", "POSTGRES_URL (not shown)"))
    assert not home.exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_so_is_a_home_that_is_a_file(command: list[str], said: Said, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is a file: name a folder" in said(*command, code=2, PAIID_HOME=str(tmp_path / "file"))


def test_a_home_that_cannot_be_made_is_named_with_the_remedy(said: Said) -> None:
    text = said("sql", "select 1", code=1, PAIID_HOME="/proc/home")
    assert "/proc/home" in text
    assert "set PAIID_HOME to a folder that you may write to" in text


@pytest.mark.parametrize("command", ["demo", "up"])
@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({"PAIID_SOURCE": "alpaca"}, "PAIID_ALPACA_KEY_ID is not set"),
        ({"PAIID_SOURCE": "alpaca", "PAIID_ALPACA_KEY_ID": PASSWORD}, "PAIID_ALPACA_SECRET_KEY is not set"),
        ({"PAIID_SOURCE": "tradier"}, "PAIID_TRADIER_TOKEN is not set"),
        ({"PAIID_RULES": "{folder}/nowhere.toml"}, "nowhere.toml does not exist: set PAIID_RULES"),
        ({"PAIID_RULES": "{folder}/broken.toml"}, "broken.toml"),
        ({"PAIID_UNIVERSE": "{folder}/nowhere.toml"}, "nowhere.toml does not exist: set PAIID_UNIVERSE"),
        ({"PAIID_UNIVERSE": "{folder}/broken.toml"}, "broken.toml"),
    ],
)
def test_what_would_fail_the_pass_is_known_before_it(
    command: str, variables: dict[str, str], remedy: str, said: Said, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text("[segments\n")
    given = {name: value.format(folder=tmp_path) for name, value in variables.items()}
    assert remedy in said(command, code=2, **given)
    assert not (home / "postgres").exists()


@pytest.mark.parametrize("command", [["sql", "select 1"], ["sql", "--analyst", "select 1"], ["explain", "AAPL"]])
@pytest.mark.parametrize("url", [DEAD, DEAD.replace("127.0.0.1:1", "nowhere.invalid")])
def test_a_server_out_of_reach_is_one_line_without_its_password(command: list[str], url: str, said: Said) -> None:
    assert "no connection to postgresql://u:***@" in said(*command, code=1, PAIID_POSTGRES_URL=url)


@pytest.mark.parametrize("content", ["{broken", "[1]", "3", '"text"', "\xff"])
def test_a_file_of_ours_that_is_not_as_we_wrote_it_is_named(home: Path, content: str, said: Said) -> None:
    for name in ("run/last.json", "redis_databases.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content, encoding="latin-1")
    assert "last.json is not as paiid wrote it: delete it" in said("sql", "select 1", code=2)
    with pytest.raises(ValueError, match=r"redis_databases\.json is not as paiid wrote it: delete it"):
        redis_database(home, "synthetic")


def test_a_folder_that_the_newest_pass_used_and_is_gone_is_named(home: Path, said: Said) -> None:
    (home / "run").mkdir(parents=True)
    (home / "run" / "last.json").write_text(json.dumps({"PAIID_SOURCE": "replay", "PAIID_DATA_DIR": "/nowhere"}))
    assert remembered(home)["PAIID_DATA_DIR"] == "/nowhere"
    for command in (["sql", "select 1"], ["explain", "AAPL"], ["audit-lookahead"]):
        assert "needs PAIID_DATA_DIR to be a folder" in said(*command, code=2)


@pytest.mark.parametrize("moment", ["yesterday", "9999-12-31", "2014-13-01", "2014-06-09T25:00"])
def test_a_moment_that_is_none_is_refused(moment: str, said: Said, postgres_url: str) -> None:
    text = said("explain", "AAPL", "--as-of", moment, code=2, PAIID_POSTGRES_URL=postgres_url)
    assert f"{moment!r} is not a moment" in text


def test_the_end_of_a_log_is_of_what_was_written_since(tmp_path: Path) -> None:
    """So that a pass that fails without a word does not show the errors of the one before it."""
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("an old traceback\n")
    size = log.stat().st_size
    assert tail(log, since=size) == ""
    with log.open("a") as file:
        file.write("new\n")
    assert tail(log, since=size) == "    new"
    log.write_text("turned over\n")
    assert tail(log, since=10_000) == "    turned over"
