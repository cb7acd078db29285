"""One typed object for everything that an operator may set, read from the environment.

Secrets come from the environment or, with ``_FILE`` appended to the name, from a file; they are never
shown in a repr.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, get_args

from paiid_pipeline.clock import parse_clock
from paiid_pipeline.universe import Horizon, Universe, load_universe

Environment = Literal["dev", "staging", "prod"]
SourceName = Literal["synthetic", "replay", "alpaca", "tradier"]
CacheKind = Literal["market", "signals", "sentiment", "news"]

TTL: Mapping[CacheKind, timedelta] = {
    "market": timedelta(seconds=60),
    "signals": timedelta(seconds=300),
    "sentiment": timedelta(seconds=900),
    "news": timedelta(seconds=1800),
}
"""How long a hot result is fresh."""

STAND_INS: tuple[SourceName, ...] = ("synthetic", "replay")
"""Sources that `paiid` serves itself, in Alpaca's shapes."""

_MOST = 366.0

_OWN_UNIVERSE = Path(__file__).with_name("universe.toml")
_OWN_RULES = Path(__file__).with_name("signals") / "rules.toml"

_KNOWN = (
    "PAIID_ENV", "PAIID_HOME", "PAIID_SOURCE", "PAIID_SOURCE_URL", "PAIID_DATA_DIR", "PAIID_UNIVERSE", "PAIID_RULES",
    "PAIID_CLOCK", "PAIID_CLOCK_ORIGIN", "PAIID_POSTGRES_URL", "PAIID_DAGSTER_POSTGRES_URL",
    "PAIID_REDIS_URL", "PAIID_FEED_DELAY_SECONDS", "PAIID_ALPACA_FEED", "PAIID_ALPACA_KEY_ID",
    "PAIID_ALPACA_SECRET_KEY", "PAIID_TRADIER_TOKEN", "PAIID_ANALYST_PASSWORD", "PAIID_WEB_PORT",
    "PAIID_PARTITIONS_START", "PAIID_TEST_POSTGRES_URL", "PAIID_TEST_REDIS_URL",
    "PAIID_MODELS", "PAIID_MODEL_KEY", "PAIID_MLFLOW_URL", "PAIID_NEWS_LOOKBACK_DAYS", "PAIID_NEWS_HALF_LIFE_HOURS",
)  # fmt: skip


@dataclass(frozen=True)
class Lookback:
    """How much history the decisions of one horizon may use, and how old its newest bar may be."""

    sessions: int
    """Whole sessions before the decision's own."""
    max_bar_age: timedelta
    """A decision whose newest bar ended earlier than this before it is withheld."""


@dataclass(frozen=True)
class Settings:
    """Where things are and how the pipeline behaves. Build it with :func:`load_settings`."""

    environment: Environment
    home: Path
    source: SourceName
    source_url: str | None
    data_dir: Path | None
    universe_path: Path
    rules_path: Path
    clock: str
    postgres_url: str | None = field(repr=False)
    dagster_postgres_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    alpaca_key_id: str | None = field(repr=False)
    alpaca_secret_key: str | None = field(repr=False)
    tradier_token: str | None = field(repr=False)
    alpaca_feed: str = "iex"
    feed_delay: timedelta = timedelta(0)
    first_day: date = date(2026, 1, 1)
    """The first partition. A replay has the weeks around its start instead."""
    settle: timedelta = timedelta(seconds=15)
    news_lookback: timedelta = timedelta(days=3)
    """How far back a decision hears articles."""
    news_half_life: timedelta = timedelta(hours=12)
    """The age at which an article weighs half of a new one."""
    lookback: Mapping[Horizon, Lookback] = field(
        default_factory=lambda: {
            "intraday": Lookback(sessions=3, max_bar_age=timedelta(minutes=15)),
            "daily": Lookback(sessions=500, max_bar_age=timedelta(0)),
        }
    )

    models: Path | None = None
    own_mlflow_url: str | None = field(default=None, repr=False)

    @property
    def models_dir(self) -> Path:
        """Where the installed models lie, each in a folder of its name."""
        return self.models or self.home / "models"

    @property
    def own_model_key(self) -> Path | None:
        """The file of the key that signs models, made when first needed; None but in dev, where none must be given."""
        return self.home / "model.key" if self.environment == "dev" else None

    @property
    def mlflow_url(self) -> str:
        """Where models are registered: a server's address, or by default a database under the home."""
        return self.own_mlflow_url or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path | None:
        """Where the default register keeps files; None where the server at ``PAIID_MLFLOW_URL`` decides."""
        return None if self.own_mlflow_url else self.home / "mlflow" / "artifacts"

    @property
    def universe(self) -> Universe:
        """The symbols, segments and calendar; the synthetic exchange never closes."""
        default = "24/7" if self.source == "synthetic" else "XNYS"
        return load_universe(self.universe_path, default, self.home / "calendars")

    def require_postgres(self) -> str:
        """The warehouse's address. Raises LookupError with the remedy where none is set."""
        return _require(self.postgres_url, "PAIID_POSTGRES_URL")

    def require_redis(self) -> str:
        """Redis' address. Raises LookupError with the remedy where none is set."""
        return _require(self.redis_url, "PAIID_REDIS_URL")


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises ValueError naming the variable, the value and the remedy."""
    env = os.environ if environ is None else environ
    _refuse_unknown(env)
    source = _choice(env, "PAIID_SOURCE", "synthetic", get_args(SourceName))
    data_dir = Path(env["PAIID_DATA_DIR"]).expanduser().resolve() if env.get("PAIID_DATA_DIR") else None
    if source == "replay" and (data_dir is None or not data_dir.is_dir()):
        raise ValueError(
            "PAIID_SOURCE=replay needs PAIID_DATA_DIR to be a folder with bars/ and news/, "
            f"not {env.get('PAIID_DATA_DIR')!r}"
        )
    parse_clock(env.get("PAIID_CLOCK", ""))
    return Settings(
        environment=_choice(env, "PAIID_ENV", "dev", get_args(Environment)),  # type: ignore[arg-type]
        home=Path(env.get("PAIID_HOME") or ".paiid").expanduser().resolve(),
        source=source,  # type: ignore[arg-type]
        source_url=env.get("PAIID_SOURCE_URL") or None,
        data_dir=data_dir,
        universe_path=Path(env.get("PAIID_UNIVERSE") or _OWN_UNIVERSE).expanduser().resolve(),
        rules_path=Path(env.get("PAIID_RULES") or _OWN_RULES).expanduser().resolve(),
        clock=env.get("PAIID_CLOCK", ""),
        postgres_url=_secret(env, "PAIID_POSTGRES_URL"),
        dagster_postgres_url=_secret(env, "PAIID_DAGSTER_POSTGRES_URL"),
        redis_url=_secret(env, "PAIID_REDIS_URL"),
        alpaca_key_id=_secret(env, "PAIID_ALPACA_KEY_ID"),
        alpaca_secret_key=_secret(env, "PAIID_ALPACA_SECRET_KEY"),
        tradier_token=_secret(env, "PAIID_TRADIER_TOKEN"),
        alpaca_feed=env.get("PAIID_ALPACA_FEED") or "iex",
        feed_delay=timedelta(seconds=_number(env, "PAIID_FEED_DELAY_SECONDS", 0)),
        news_lookback=timedelta(days=_positive(env, "PAIID_NEWS_LOOKBACK_DAYS", 3)),
        news_half_life=timedelta(hours=_positive(env, "PAIID_NEWS_HALF_LIFE_HOURS", 12)),
        first_day=_day(env, "PAIID_PARTITIONS_START", Settings.first_day),
        own_mlflow_url=_secret(env, "PAIID_MLFLOW_URL"),
        models=Path(env["PAIID_MODELS"]).expanduser().resolve() if env.get("PAIID_MODELS") else None,
    )


def _secret(env: Mapping[str, str], name: str) -> str | None:
    path = env.get(f"{name}_FILE")
    if path:
        return Path(path).read_text().strip() or None
    return env.get(name) or None


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(env.get(name) or default)
    except ValueError:
        raise ValueError(f"{name}={env[name]!r} is not a number: give one, such as {default:g}") from None


def _positive(env: Mapping[str, str], name: str, default: float) -> float:
    value = _number(env, name, default)
    if not 0 < value <= _MOST:
        raise ValueError(f"{name}={env[name]!r} is not above 0 and at most {_MOST:g}: try {default:g}")
    return value


def _day(env: Mapping[str, str], name: str, default: date) -> date:
    try:
        return date.fromisoformat(env[name]) if env.get(name) else default
    except ValueError:
        raise ValueError(f"{name}={env[name]!r} is not a date: write it as 2026-01-31") from None


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or default
    if value not in allowed:
        close = difflib.get_close_matches(value, allowed, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{name}={value!r} is not one of {', '.join(allowed)}{hint}")
    return value


def _refuse_unknown(env: Mapping[str, str]) -> None:
    for name in env:
        known = name.removesuffix("_FILE") in _KNOWN or name in _KNOWN
        if name.startswith("PAIID_") and not known:
            close = difflib.get_close_matches(name, _KNOWN, n=1)
            if close:
                raise ValueError(f"unknown variable {name}: did you mean {close[0]}?")


def _require(value: str | None, name: str) -> str:
    if value is None:
        raise LookupError(f"{name} is not set: run through `paiid with-services …`, or set it to your server's address")
    return value
