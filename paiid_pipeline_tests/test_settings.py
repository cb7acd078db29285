"""Settings: read from the environment, refused with a remedy, secret where they must be."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paiid_pipeline.clock import ReplayClock
from paiid_pipeline.settings import Settings, SettingsError, load_settings

SECRETS = {
    "PAIID_POSTGRES_URL": "postgresql://u:hunter2%40@h/d",
    "PAIID_DAGSTER_POSTGRES_URL": "postgresql://u:hunter2@h:5432/d?sslmode=require",
    "PAIID_REDIS_URL": "rediss://:hunter2@h:6379/0",
    "PAIID_ALPACA_KEY_ID": "hunter2",
    "PAIID_ALPACA_SECRET_KEY": "hunter2",
    "PAIID_TRADIER_TOKEN": "hunter2",
    "PAIID_ANALYST_PASSWORD": "hunter2",
    "PAIID_MODEL_KEY": "ab" * 32,
    "PAIID_MLFLOW_URL": "https://u:hunter2@mlflow.example",
}


def value_of(settings: Settings, variable: str) -> str:
    name = {"PAIID_MLFLOW_URL": "own_mlflow_url"}.get(variable, variable.removeprefix("PAIID_").lower())
    secret: str = getattr(settings, name).get_secret_value()
    return secret


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(variables)
    assert len(caught.value.problems) == 1, caught.value.problems
    return str(caught.value)


def test_with_nothing_set_it_is_a_synthetic_dev_environment_that_never_closes() -> None:
    settings = load_settings({})
    assert (settings.environment, settings.source) == ("dev", "synthetic")
    assert settings.universe.calendar.name == "24/7"


def test_real_vendors_keep_to_the_new_york_calendar() -> None:
    assert load_settings({"PAIID_SOURCE": "alpaca"}).universe.calendar.name == "XNYS"


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("PAIID_SOURCE", "alpacca", "did you mean 'alpaca'"),
        ("PAIID_ENV", "produc", "did you mean 'prod'"),
        ("PAIID_ENV", "x", "one of dev, staging, prod"),
        ("PAIID_POSTGRS_URL", "x", "did you mean PAIID_POSTGRES_URL"),
        ("PAIID_RULE", "x", "did you mean PAIID_RULES"),
        ("paiid_home", "x", "did you mean PAIID_HOME"),
        ("PAIID_TRADIER_TOKEN_FIEL", "x", "did you mean PAIID_TRADIER_TOKEN_FILE"),
        ("PAIID_ZZZ_QQQ_XXX", "x", "unset it"),
        ("PAIID_CLOCK", "noon", "is not a clock: use 'system' or"),
        ("PAIID_CLOCK", "replay:0001-01-01T00:00:00+05:00@1", "outside the years of the exchanges' calendars"),
        ("PAIID_CLOCK", "replay:2014-06-09T15:00:00Z@99999999999", "at most 86400"),
        ("PAIID_CLOCK_ORIGIN", "2026-01-31", "2026-01-31T12:00:00+00:00"),
        ("PAIID_NEWS_LOOKBACK_DAYS", "0", "a number of days above 0"),
        ("PAIID_NEWS_LOOKBACK_DAYS", "nan", "a number of days above 0"),
        ("PAIID_NEWS_HALF_LIFE_HOURS", "long", "a number of hours above 0"),
        ("PAIID_NEWS_HALF_LIFE_HOURS", "inf", "a number of hours above 0"),
        ("PAIID_WEB_PORT", "65536", "a port"),
        ("PAIID_WEB_PORT", "http", "a port"),
        ("PAIID_PARTITIONS_START", "1767225600", "write it as 2026-01-31"),
        ("PAIID_PARTITIONS_START", "31.1.2026", "write it as 2026-01-31"),
        ("PAIID_PARTITIONS_START", "0001-01-01", "from 1980 on"),
        ("PAIID_SOURCE_URL", "data.alpaca.markets", "https://data.alpaca.markets"),
        ("PAIID_DATA_DIR", "~nobody-of-that-name/x", "a folder"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_with_its_value_and_the_remedy(
    variable: str, value: str, remedy: str
) -> None:
    said = refusal(**{variable: value})
    assert variable in said
    assert remedy in said
    assert value in said or said.startswith("unknown variable")


@pytest.mark.parametrize("value", ["-60", "-0.001", "nan", "-nan", "inf", "-inf", "1e400", "900 s", "86401"])
def test_a_feed_delay_that_would_make_rows_known_too_early_or_never_is_refused(value: str) -> None:
    assert f"PAIID_FEED_DELAY_SECONDS={value!r}" in refusal(PAIID_FEED_DELAY_SECONDS=value)


@given(st.floats())
def test_a_delay_is_never_negative(number: float) -> None:
    try:
        settings = load_settings({"PAIID_FEED_DELAY_SECONDS": repr(number)})
    except SettingsError:
        assert not 0 <= number <= 86_400
    else:
        assert timedelta(0) <= settings.feed_delay <= timedelta(days=1)


def test_everything_that_is_wrong_is_said_at_once_and_no_secret_with_it(tmp_path: Path) -> None:
    """Also where one of the errors alone would hide the others."""
    wrong = {
        "PAIID_SOURCE": "replay",
        "PAIID_ENV": "live",
        "PAIID_WEB_PORT": "http",
        "PAIID_HOEM": "x",
        "PAIID_HOME_FILE": "x",
        "PAIID_POSTGRES_URL": "postgresql://u:hun/ter2@h/d",
        "PAIID_REDIS_URL_FILE": str(tmp_path / "nowhere"),
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(wrong)
    names = {"PAIID_DATA_DIR", *wrong.keys() - {"PAIID_SOURCE"}}
    assert len(caught.value.problems) == len(names)
    assert all(any(name in problem for problem in caught.value.problems) for name in names)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize("folder", [None, "nowhere", "a file"])
def test_a_replay_needs_a_folder_of_data(tmp_path: Path, folder: str | None) -> None:
    (tmp_path / "a file").touch()
    given = {"PAIID_DATA_DIR": str(tmp_path / folder)} if folder else {}
    assert "PAIID_SOURCE=replay needs PAIID_DATA_DIR" in refusal(PAIID_SOURCE="replay", **given)


@pytest.mark.parametrize("home", ["a file", "a file/in it"])
def test_a_home_that_cannot_be_a_folder_is_refused(tmp_path: Path, home: str) -> None:
    (tmp_path / "a file").touch()
    assert f"{tmp_path / 'a file'} is a file" in refusal(PAIID_HOME=str(tmp_path / home))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pa/ss@h/db",
        "postgresql://u:pa#ss@h/db",
        "postgresql://u:pa?ss@h/db",
        "postgresql://u:pa@ss@h/db",
        "postgresql://u:12/pass@h/db",
        "postgresql://u:pa%ss@h/db",
        "postgresql://u:pa ss@h/db",
        "postgresql://u:pa[ss@h/db",
        "postgres://u:pass@h/db",
        "postgresql://u:pass@h",
        "postgresql://u:pass@h:port/db",
        "host=h password=pass",
    ],
)
def test_an_address_of_which_a_library_would_show_a_part_of_the_password_is_refused_without_it(url: str) -> None:
    said = refusal(PAIID_POSTGRES_URL=url)
    assert "PAIID_POSTGRES_URL (not shown)" in said
    assert "postgresql://user:password@host:5432/database" in said
    assert "pass@" not in said


@pytest.mark.parametrize(
    "url", ["redis://:pa/ss@h", "redis://:pa@ss@h/0", "redis://h/zero", "h:6379", "redis://:p s@h"]
)
def test_so_is_one_of_redis(url: str) -> None:
    said = refusal(PAIID_REDIS_URL=url)
    assert "PAIID_REDIS_URL (not shown) is not an address such as rediss://:password@host:6379/0" in said
    assert url not in said


@pytest.mark.parametrize(
    "url",
    ["postgresql://h/d", "postgresql://u@/d?host=/run/pg", "postgresql://u:p%40%2F@h:5432/d", "postgresql://[::1]/d"],
)
def test_whole_addresses_are_taken_as_they_are(url: str) -> None:
    assert load_settings({"PAIID_POSTGRES_URL": url}).require_postgres() == url


@pytest.mark.parametrize("variable", SECRETS)
def test_every_secret_comes_from_its_variable_or_its_file_and_never_shows(tmp_path: Path, variable: str) -> None:
    (tmp_path / "secret").write_text(SECRETS[variable] + "\n")
    settings = load_settings({variable: SECRETS[variable]})
    assert value_of(settings, variable) == SECRETS[variable]
    assert settings == load_settings({f"{variable}_FILE": str(tmp_path / "secret")})
    for shown in (repr(settings), str(settings), str(settings.model_dump())):
        assert not {"hunter2", "abab"} & {shown[i : i + length] for length in (4, 7) for i in range(len(shown))}


def test_there_are_no_other_secrets() -> None:
    """Whoever adds one gets the tests above with it."""
    secret = {str(f.validation_alias) for f in Settings.model_fields.values() if "SecretStr" in str(f.annotation)}
    assert secret == SECRETS.keys()


@pytest.mark.parametrize("variable", SECRETS)
def test_a_file_of_a_secret_that_cannot_be_read_is_named(tmp_path: Path, variable: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\xff")
    for name in ("nowhere", "empty", "binary", "."):
        said = refusal(**{f"{variable}_FILE": str(tmp_path / name)})
        assert f"{variable}_FILE={str(tmp_path / name)!r} cannot be read" in said


@pytest.mark.parametrize("variable", ["PAIID_HOME", "PAIID_SOURCE", "PAIID_WEB_PORT", "PAIID_CLOCK"])
def test_what_is_no_secret_is_not_read_from_a_file(tmp_path: Path, variable: str) -> None:
    (tmp_path / "file").write_text("x")
    assert f"set {variable} itself" in refusal(**{f"{variable}_FILE": str(tmp_path / "file")})


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    said = refusal(PAIID_TRADIER_TOKEN="two", PAIID_TRADIER_TOKEN_FILE=str(tmp_path / "token"))
    assert "PAIID_TRADIER_TOKEN and PAIID_TRADIER_TOKEN_FILE are both set" in said


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    empty = dict.fromkeys(["PAIID_SOURCE", "PAIID_HOME", "PAIID_WEB_PORT", "PAIID_POSTGRES_URL", "PAIID_CLOCK"], "")
    assert load_settings(empty) == load_settings({})


def test_variables_of_others_are_none_of_its_business() -> None:
    load_settings({"PATH": "/bin", "PAIID_TEST_POSTGRES_URL": "x", "_PAIID_SUPERVISED_FROM": "/x"})


def test_what_is_set_is_what_it_has(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "PAIID_NEWS_LOOKBACK_DAYS": "7",
            "PAIID_NEWS_HALF_LIFE_HOURS": "36",
            "PAIID_FEED_DELAY_SECONDS": "900",
            "PAIID_PARTITIONS_START": "2025-03-01",
            "PAIID_RULES": str(tmp_path / "x.toml"),
            "PAIID_WEB_PORT": "8080",
        }
    )
    assert (settings.news_lookback, settings.news_half_life) == (timedelta(days=7), timedelta(hours=36))
    assert (settings.feed_delay, settings.first_day) == (timedelta(minutes=15), date(2025, 3, 1))
    assert (settings.rules_path, settings.web_port) == ((tmp_path / "x.toml").resolve(), 8080)
    assert load_settings({}).rules_path.parts[-2:] == ("signals", "rules.toml")


def test_the_universe_is_read_once_so_that_a_process_has_one(tmp_path: Path) -> None:
    file = tmp_path / "universe.toml"
    file.write_text('[segments]\na = ["AAPL"]\n')
    settings = load_settings({"PAIID_UNIVERSE": str(file), "PAIID_HOME": str(tmp_path)})
    before = settings.universe
    file.write_text('[segments]\na = ["MSFT"]\n')
    assert settings.universe is before
    assert load_settings({"PAIID_UNIVERSE": str(file), "PAIID_HOME": str(tmp_path)}).universe.symbols == ("MSFT",)


def test_processes_with_one_origin_share_one_replay() -> None:
    clock = load_settings(
        {
            "PAIID_CLOCK": "replay:2014-06-09T15:00:00-04:00@60",
            "PAIID_CLOCK_ORIGIN": "2026-01-31T12:00:00+00:00",
        }
    ).open_clock()
    assert isinstance(clock, ReplayClock)
    assert (clock.start.isoformat(), clock.origin.isoformat()) == (
        "2014-06-09T19:00:00+00:00",
        "2026-01-31T12:00:00+00:00",
    )


def test_an_address_that_is_needed_and_missing_names_its_variable() -> None:
    with pytest.raises(LookupError, match="PAIID_POSTGRES_URL is not set"):
        load_settings({}).require_postgres()


def test_models_are_registered_under_the_home_unless_a_server_is_named(tmp_path: Path) -> None:
    own = load_settings({"PAIID_HOME": str(tmp_path)})
    assert own.mlflow_url == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert own.mlflow_artifacts == tmp_path / "mlflow" / "artifacts"
    server = load_settings({"PAIID_MLFLOW_URL": "https://u:hunter2@mlflow.example"})
    assert (server.mlflow_url, server.mlflow_artifacts) == ("https://u:hunter2@mlflow.example", None)


def test_only_dev_has_a_model_key_of_its_own(tmp_path: Path) -> None:
    home = {"PAIID_HOME": str(tmp_path)}
    assert load_settings(home).own_model_key == tmp_path / "model.key"
    assert load_settings({**home, "PAIID_ENV": "prod"}).own_model_key is None


def test_a_model_key_that_is_none_is_refused_without_showing_it() -> None:
    said = refusal(PAIID_MODEL_KEY="secret-that-is-no-hex")
    assert "64 hex digits" in said
    assert "secret-that" not in said


def test_nothing_else_in_the_package_reads_a_variable_of_ours() -> None:
    """One place knows the names: the environment of the process is read nowhere else for them."""
    package = Path(__file__).parents[1] / "paiid_pipeline"
    reads = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        for line in path.read_text().splitlines()
        if ("os.environ" in line or "getenv" in line) and ("PAIID_" in line or "_VARIABLE" in line)
    ]
    assert reads == []
