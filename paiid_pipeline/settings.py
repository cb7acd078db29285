"""One typed object for everything that an operator may set: every ``PAIID_*`` variable, read and checked here alone.

A secret comes from its variable or, with ``_FILE`` appended to the name, from a file; it is never shown, neither in a
repr nor in an error.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from paiid_pipeline.clock import Clock, parse_clock
from paiid_pipeline.did_you_mean import did_you_mean
from paiid_pipeline.trading_calendar import Horizon
from paiid_pipeline.universe import DECISION_LAG, Universe, load_universe

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

SIMULATED: tuple[SourceName, ...] = ("synthetic", "replay")
"""Sources that `paiid` serves itself, in Alpaca's shapes."""

_TESTS = "PAIID_TEST_"
_OWN_UNIVERSE = Path(__file__).with_name("universe.toml")
_OWN_RULES = Path(__file__).with_name("signals") / "rules.toml"


class SettingsError(ValueError):
    """What is wrong with the environment: in ``problems`` every wrong variable, each with its value and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Lookback:
    """How much history the decisions of one horizon may use, and how old its newest bar may be."""

    sessions: int
    """Whole sessions before the decision's own."""
    max_bar_age: timedelta
    """A decision whose newest bar ended earlier than this before it is withheld."""


def _path(given: str | Path) -> Path:
    try:
        return Path(given).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{given!s}: {error}") from None


def _iso(read: Callable[[str], Any]) -> BeforeValidator:
    # ISO alone: pydantic would take 20260131 for a number of seconds.
    return BeforeValidator(lambda given: read(given) if isinstance(given, str) else given)


def _matching(form: str) -> AfterValidator:
    pattern = re.compile(form)

    def check(secret: SecretStr) -> SecretStr:
        if not pattern.fullmatch(secret.get_secret_value()):
            raise ValueError("another form")
        return secret

    return AfterValidator(check)


def _address(schemes: str, path: str) -> AfterValidator:
    """Whole addresses only, their special characters percent-encoded: else a library would show parts of a password."""
    word = r"(?:[^\s:/?#\[\]@%]|%[0-9A-Fa-f]{2})*"
    host = rf"(?:\[[0-9A-Fa-f:.]+\]|{word})(?::[0-9]{{1,5}})?"
    return _matching(rf"(?:{schemes})://(?:{word}(?::{word})?@)?{host}{path}(?:\?[^\s@#]*)?")


_Path = Annotated[Path, BeforeValidator(_path)]
_PostgresUrl = Annotated[SecretStr, _address("postgresql", r"/[^\s@#?/]+")]
_RedisUrl = Annotated[SecretStr, _address("rediss?", "/?[0-9]*")]
_POSTGRES = "an address such as postgresql://user:password@host:5432/database, special characters written as %40"
_REDIS = "an address such as rediss://:password@host:6379/0, special characters written as %40"
_MOST = 366


def _zoned(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no UTC offset")
    return moment


class Settings(BaseSettings):
    """Where things are and how the pipeline behaves. Build it with :func:`load_settings`.

    A field's variable is its name in capitals after ``PAIID_``, unless its alias differs; its description is what the
    variable must hold. A field of type SecretStr is a secret.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        loc_by_alias=False,
        alias_generator=AliasGenerator(validation_alias=lambda name: f"PAIID_{name.upper()}"),
    )

    environment: Environment = Field("dev", validation_alias="PAIID_ENV")
    home: _Path = Field(Path(".paiid"), description="the name of a folder")
    source: SourceName = "synthetic"
    source_url: str | None = Field(
        None, pattern=r"^https?://[^\s@/]+(/[^\s@]*)?$", description="an address such as https://data.alpaca.markets"
    )
    data_dir: _Path | None = Field(None, description="a folder")
    universe_path: _Path = Field(_OWN_UNIVERSE, validation_alias="PAIID_UNIVERSE", description="the name of a file")
    rules_path: _Path = Field(_OWN_RULES, validation_alias="PAIID_RULES", description="the name of a file")
    clock: str = Field("", description="a clock: use 'system' or 'replay:2014-06-09T15:00:00-04:00@1'")
    clock_origin: Annotated[datetime, _iso(_zoned)] | None = Field(
        None, description="a moment such as 2026-01-31T12:00:00+00:00"
    )
    """When the replay's clock started, so that several processes share one replay."""
    postgres_url: _PostgresUrl | None = Field(None, description=_POSTGRES)
    dagster_postgres_url: _PostgresUrl | None = Field(None, description=_POSTGRES)
    redis_url: _RedisUrl | None = Field(None, description=_REDIS)
    alpaca_key_id: SecretStr | None = None
    alpaca_secret_key: SecretStr | None = None
    tradier_token: SecretStr | None = None
    alpaca_feed: str = "iex"
    analyst_password: SecretStr | None = None
    model_key: Annotated[SecretStr, _matching("[0-9A-Fa-f]{64}")] | None = Field(
        None, description="a model key: give 64 hex digits (`openssl rand -hex 32` makes them)"
    )
    own_mlflow_url: Annotated[SecretStr, _matching(r"[a-z][a-z0-9+]*:/\S+")] | None = Field(
        None, validation_alias="PAIID_MLFLOW_URL", description="an address such as https://mlflow.example"
    )
    models: _Path | None = Field(None, description="a folder")
    feed_delay_seconds: float = Field(
        0, ge=0, le=86_400, description="a number of seconds from 0 to 86400, such as 900"
    )
    news_lookback_days: float = Field(3, gt=0, le=_MOST, description=f"a number of days above 0, at most {_MOST}")
    news_half_life_hours: float = Field(12, gt=0, le=_MOST, description=f"a number of hours above 0, at most {_MOST}")
    first_day: Annotated[date, _iso(date.fromisoformat)] = Field(
        date(2026, 1, 1),
        validation_alias="PAIID_PARTITIONS_START",
        ge=date(1980, 1, 1),
        lt=date(2100, 1, 1),
        description="a date from 1980 on: write it as 2026-01-31",
    )
    """The first partition. A replay has the weeks around its start instead."""
    web_port: int = Field(3000, gt=0, lt=65536, description="a port: use a number from 1 to 65535")
    api_port: int = Field(8000, gt=0, lt=65536, description="a port: use a number from 1 to 65535")

    lookback: ClassVar[Mapping[Horizon, Lookback]] = {
        "intraday": Lookback(sessions=3, max_bar_age=timedelta(minutes=15)),
        "daily": Lookback(sessions=500, max_bar_age=timedelta(0)),
    }

    def __init__(self, environ: Mapping[str, str]) -> None:
        """From an environment. Raises pydantic's ValidationError; :func:`load_settings` puts it into words."""
        super().__init__(environ=environ)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment that the settings are made from, and nothing else: no dotenv file."""
        return (_Variables(settings_cls, cast(InitSettingsSource, init_settings).init_kwargs["environ"]),)

    @field_validator("home")
    @classmethod
    def _is_no_file(cls, home: Path) -> Path:
        try:
            nearest = next(folder for folder in (home, *home.parents) if folder.exists())
        except OSError as error:
            raise ValueError(f"PAIID_HOME={str(home)!r}: {error.strerror}: name a folder that you may use") from None
        if not nearest.is_dir():
            raise ValueError(f"PAIID_HOME={str(home)!r}: {nearest} is a file: name a folder, or one to be made")
        return home

    @field_validator("clock")
    @classmethod
    def _is_a_clock(cls, spec: str) -> str:
        parse_clock(spec)
        return spec

    @field_validator("data_dir")
    @classmethod
    def _has_what_a_replay_needs(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("source") == "replay" and not (folder and os.path.isdir(folder)):
            raise ValueError(
                "PAIID_SOURCE=replay needs PAIID_DATA_DIR to be a folder with bars/ and news/, "
                f"not {str(folder) if folder else 'unset'}"
            )
        return folder

    @property
    def feed_delay(self) -> timedelta:
        """How long after a bar's end the source gives it."""
        return timedelta(seconds=self.feed_delay_seconds)

    @property
    def decision_lag(self) -> timedelta:
        """How long after its time a decision is made: until the refresh that brings the bar that ends then."""
        return DECISION_LAG + timedelta(minutes=math.ceil(self.feed_delay / timedelta(minutes=1)))

    @property
    def max_bar_age(self) -> dict[Horizon, timedelta]:
        """The greatest age of the newest bar of a decision, by horizon."""
        return {horizon: lookback.max_bar_age for horizon, lookback in self.lookback.items()}

    @property
    def news_lookback(self) -> timedelta:
        """How far back a decision reads articles."""
        return timedelta(days=self.news_lookback_days)

    @property
    def news_half_life(self) -> timedelta:
        """The age at which an article weighs half of a new one."""
        return timedelta(hours=self.news_half_life_hours)

    @property
    def models_dir(self) -> Path:
        """Where models are installed, each in a folder of its name."""
        return self.models or self.home / "models"

    @property
    def own_model_key(self) -> Path | None:
        """The file of the key that signs models, made when first needed; None but in dev, where none must be given."""
        return self.home / "model.key" if self.environment == "dev" else None

    @property
    def mlflow_url(self) -> str:
        """Where models are registered: a server's address, or by default a database under the home."""
        own = self.own_mlflow_url
        return own.get_secret_value() if own else f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path | None:
        """Where the default register keeps files; None where the server at ``PAIID_MLFLOW_URL`` decides."""
        return None if self.own_mlflow_url else self.home / "mlflow" / "artifacts"

    @cached_property
    def universe(self) -> Universe:
        """The symbols, segments and calendar, read once; the synthetic exchange never closes."""
        default = "24/7" if self.source == "synthetic" else "XNYS"
        return load_universe(self.universe_path, default, self.home / "calendars")

    def open_clock(self) -> Clock:
        """The clock of this process; a replay without an origin starts now."""
        return parse_clock(self.clock, self.clock_origin)

    def require_postgres(self) -> str:
        """The warehouse's address. Raises LookupError with the remedy where none is set."""
        return _require(self.postgres_url, "PAIID_POSTGRES_URL")

    def require_redis(self) -> str:
        """Redis' address. Raises LookupError with the remedy where none is set."""
        return _require(self.redis_url, "PAIID_REDIS_URL")


class _Variables(PydanticBaseSettingsSource):
    """Each setting from its variable, and a secret from the file that the variable with ``_FILE`` names, too.

    An empty variable is one that is not set. What cannot be read as text is kept as its error.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._environ = environ

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = str(field.validation_alias or field_name)
        file = self._environ.get(f"{variable}_FILE") if _is_secret(field) else None
        return _content(file) if file else self._environ.get(variable) or None, variable, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        found = (self.get_field_value(field, name) for name, field in fields.items())
        return {variable: value for value, variable, _ in found if value is not None}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment. Raises SettingsError, a ValueError, that has all that is wrong."""
    env = os.environ if environ is None else environ
    problems = [*_unknown(env), *_twice(env)]
    try:
        settings = Settings(env)
    except ValidationError as error:
        raise SettingsError(problems + [_in_words(each, env) for each in error.errors()]) from None
    if problems:
        raise SettingsError(problems)
    return settings


_OF_DEFINITIONS: ContextVar[Settings | None] = ContextVar("settings_of_definitions", default=None)


def settings_of_definitions() -> Settings:
    """The settings from which Dagster's definitions are built: those given, else the environment's."""
    return _OF_DEFINITIONS.get() or load_settings()


@contextmanager
def definitions_with(settings: Settings) -> Iterator[None]:
    """Definitions that are imported for the first time in the body are built from these settings."""
    token = _OF_DEFINITIONS.set(settings)
    try:
        yield
    finally:
        _OF_DEFINITIONS.reset(token)


def _fields() -> dict[str, FieldInfo]:
    return {str(field.validation_alias): field for field in Settings.model_fields.values()}


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _content(file: str) -> str | Exception:
    try:
        return Path(file).read_text().strip() or ValueError("it is empty")
    except OSError as error:
        return ValueError(error.strerror)
    except UnicodeDecodeError:
        return ValueError("it is no text")


def _unknown(env: Mapping[str, str]) -> list[str]:
    """Variables that nothing reads, and files for what is no secret."""
    fields, problems = _fields(), list[str]()
    files = {f"{variable}_FILE" for variable, field in fields.items() if _is_secret(field)}
    for name in sorted(env):
        if not name.upper().startswith("PAIID_") or name.startswith(_TESTS) or name in fields or name in files:
            continue
        if name.removesuffix("_FILE") in fields:
            problems.append(f"{name}: only secrets are read from files, and this is none: set {name[:-5]} itself")
        else:
            hint = did_you_mean(name.upper(), [*fields, *files], otherwise="unset it", show=str)
            problems.append(f"unknown variable {name}: {hint}")
    return problems


def _twice(env: Mapping[str, str]) -> list[str]:
    both = (
        name for name, field in _fields().items() if _is_secret(field) and env.get(name) and env.get(f"{name}_FILE")
    )
    return [f"{name} and {name}_FILE are both set: keep one" for name in both]


def _in_words(error: ErrorDetails, env: Mapping[str, str]) -> str:
    """One wrong variable: its value, unless that is a secret, and what it must be."""
    field = Settings.model_fields[str(error["loc"][0])]
    variable = str(field.validation_alias)
    file = f"{variable}_FILE"
    if isinstance(error["input"], ValueError):
        return f"{file}={env[file]!r} cannot be read: {error['input']}"
    detail = str(error.get("ctx", {}).get("error", ""))
    if detail.startswith("PAIID_"):
        return detail
    given = f"{variable} (not shown)" if _is_secret(field) else f"{variable}={env.get(variable)!r}"
    return f"{given} is not {field.description or _choices(field, env[variable])}"


def _choices(field: FieldInfo, value: str) -> str:
    allowed = get_args(field.annotation)
    hint = did_you_mean(value, allowed, otherwise="")
    return "; ".join(filter(None, [f"one of {', '.join(allowed)}", hint]))


def _require(value: SecretStr | None, name: str) -> str:
    if value is None:
        raise LookupError(f"{name} is not set: run through `paiid with-services …`, or set it to your server's address")
    return value.get_secret_value()
