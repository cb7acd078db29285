"""Settings: read from the environment, refused with a remedy, secret where they must be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from paiid_pipeline.settings import load_settings


def test_with_nothing_set_it_is_a_synthetic_dev_environment_that_never_closes() -> None:
    settings = load_settings({})
    assert (settings.environment, settings.source) == ("dev", "synthetic")
    assert settings.universe.calendar.name == "24/7"


def test_real_vendors_keep_to_the_new_york_calendar() -> None:
    assert load_settings({"PAIID_SOURCE": "alpaca"}).universe.calendar.name == "XNYS"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PAIID_SOURCE": "alpacca"}, "did you mean 'alpaca'"),
        ({"PAIID_SOURCE": "replay"}, "needs PAIID_DATA_DIR"),
        ({"PAIID_POSTGRS_URL": "x"}, "did you mean PAIID_POSTGRES_URL"),
        ({"PAIID_CLOCK": "noon"}, "is not a clock"),
        ({"PAIID_RULE": "x"}, "did you mean PAIID_RULES"),
        ({"PAIID_ENV": "produc"}, "did you mean 'prod'"),
        ({"PAIID_NEWS_LOOKBACK_DAYS": "0"}, "is not above 0"),
        ({"PAIID_NEWS_HALF_LIFE_HOURS": "long"}, "is not a number: give one, such as 12"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_remedy(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_settings(variables)


def test_how_long_news_counts_can_be_set() -> None:
    settings = load_settings({"PAIID_NEWS_LOOKBACK_DAYS": "7", "PAIID_NEWS_HALF_LIFE_HOURS": "36"})
    assert (settings.news_lookback, settings.news_half_life) == (timedelta(days=7), timedelta(hours=36))


def test_the_rules_are_the_shipped_ones_unless_a_file_is_named(tmp_path: Path) -> None:
    assert load_settings({}).rules_path.parts[-2:] == ("signals", "rules.toml")
    assert load_settings({"PAIID_RULES": str(tmp_path / "x.toml")}).rules_path == (tmp_path / "x.toml").resolve()


def test_secrets_come_from_files_too_and_never_show(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    settings = load_settings(
        {"PAIID_TRADIER_TOKEN_FILE": str(tmp_path / "token"), "PAIID_POSTGRES_URL": "postgresql://u:hunter2@h/d"}
    )
    assert settings.tradier_token == "s3cret"
    assert "s3cret" not in repr(settings)
    assert "hunter2" not in repr(settings)


def test_an_address_that_is_needed_and_missing_names_its_variable() -> None:
    with pytest.raises(LookupError, match="PAIID_POSTGRES_URL is not set"):
        load_settings({}).require_postgres()


def test_models_are_registered_under_the_home_unless_a_server_is_named(tmp_path: Path) -> None:
    own = load_settings({"PAIID_HOME": str(tmp_path)})
    assert own.mlflow_url == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert own.mlflow_artifacts == tmp_path / "mlflow" / "artifacts"
    server = load_settings({"PAIID_MLFLOW_URL": "https://u:hunter2@mlflow.example"})
    assert (server.mlflow_url, server.mlflow_artifacts) == ("https://u:hunter2@mlflow.example", None)
    assert "hunter2" not in repr(server)


def test_only_dev_has_a_model_key_of_its_own(tmp_path: Path) -> None:
    home = {"PAIID_HOME": str(tmp_path)}
    assert load_settings(home).own_model_key == tmp_path / "model.key"
    assert load_settings({**home, "PAIID_ENV": "prod"}).own_model_key is None
