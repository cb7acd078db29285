"""The command `paiid`: everything that a person does with the pipeline outside Dagster's UI."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paiid_pipeline.console import print_err
from paiid_pipeline.trading_calendar import HORIZONS

if TYPE_CHECKING:
    from paiid_pipeline.settings import Settings, SettingsError

_EPILOG = """\
settings come from the environment; the most used:
  PAIID_SOURCE        synthetic (default) | replay | alpaca | tradier
  PAIID_DATA_DIR      the folder of Parquet files that replay serves
  PAIID_CLOCK         system (default) | replay:2014-06-09T15:00:00-04:00@1
  PAIID_UNIVERSE      a TOML file of symbols in segments
  PAIID_HOME          where data, logs and passwords lie (default .paiid)
  PAIID_POSTGRES_URL  your own PostgreSQL; without it one is started
  PAIID_REDIS_URL     your own Redis; without it one is started
  PAIID_WEB_PORT      the port of Dagster's UI (default 3000)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 2 for a wrong setting or argument, 1 for what failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return 0
    from paiid_pipeline.settings import SettingsError, load_settings  # costs more than all of `paiid --help`

    run: Callable[[argparse.Namespace, Settings], int] = options.run
    try:
        settings = load_settings()
    except SettingsError as error:
        return _refused(error)
    try:
        _look_first(run, settings)
        return run(options, settings)
    except SettingsError as error:  # of the settings that the stored data was made with
        return _refused(error)
    except (ValueError, LookupError) as error:
        print_err(f"paiid: {error.args[0] if isinstance(error, KeyError) else error}")
        return 2
    except BrokenPipeError:  # `paiid sql … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (RuntimeError, OSError) as error:
        print_err(f"paiid: {_in_words(error, settings.home)}")
        return 1
    except KeyboardInterrupt:
        return 130


def _refused(error: SettingsError) -> int:
    for problem in error.problems:
        print_err(f"paiid: {problem}")
    return 2


def _look_first(run: Callable[[argparse.Namespace, Settings], int], settings: Settings) -> None:
    """Raises ValueError or LookupError for what would fail a command only after it has started servers."""
    if run in (_up, _demo, _backfill, _with_services, _score):
        settings.universe  # noqa: B018
    if run in (_up, _demo, _backfill):
        from paiid_pipeline.settings import SIMULATED
        from paiid_pipeline.signals.rules import load_rules
        from paiid_pipeline.sources import open_source

        load_rules(settings.rules_path)
        if settings.source not in SIMULATED:
            open_source(settings)


def _in_words(error: RuntimeError | OSError, home: Path) -> str:
    """What to say of an error; of a file under the home that cannot be made, read or written, with the remedy."""
    file = str(error.filename) if isinstance(error, OSError) and error.filename else None
    if not isinstance(error, OSError) or file is None:
        return str(error)
    remedy = ": set PAIID_HOME to a folder that you may write to" if Path(file).is_relative_to(home) else ""
    return f"{file}: {error.strerror}{remedy}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="paiid",
        description="News and market bars in; sentiment, indicators and trading signals out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="")

    def command(name: str, run: Callable[[argparse.Namespace, Settings], int], help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
        sub.set_defaults(run=run)
        return sub

    command("up", _up, "run the whole graph once, then keep refreshing until Ctrl-C")
    command("demo", _demo, "run the whole graph once, print the signals, and stop everything")
    sub = command("backfill", _backfill, "make the history between two dates: news first, then what rests on them")
    sub.add_argument("first", type=_day, metavar="FIRST", help="such as 2026-03-01")
    sub.add_argument("last", type=_day, metavar="LAST", nargs="?", help="by default FIRST alone")
    sub = command("with-services", _with_services, "run any command with the servers' addresses in its environment")
    sub.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD …")
    sub = command("sql", _sql, "ask the warehouse: one or more statements, or standard input; commits")
    sub.add_argument("statement", nargs="?", help="SQL; without it, standard input is read")
    sub.add_argument("--analyst", action="store_true", help="as the read-only role paiid_analyst")
    sub.add_argument("--format", choices=("table", "csv", "json"), default="table")
    sub = command("url", _url, "print an address for psql or redis-cli, with its password; needs a running paiid")
    sub.add_argument("of", choices=("postgres", "analyst", "redis"))
    command("status", _status, "what runs, and where")
    sub = command("score", _score, "the sentiment of one text, by every installed model and their ensemble")
    sub.add_argument("text", nargs="?", help="without it, standard input is read")
    sub.add_argument("--symbol", help="whom the text is to be read for, where it names it")
    sub.add_argument("--budget-ms", type=float, help="leave out models that cost more a text than this allows")
    sub.add_argument("--json", action="store_true", help="everything, for programs")
    of = command("models", _models_help, "the models of sentiment").add_subparsers(title="commands", metavar="")
    sub = of.add_parser("evaluate", help="measure every installed model and the ensemble on a labelled file")
    sub.set_defaults(run=_evaluate)
    sub.add_argument("file", type=Path, help="a CSV with the columns text, label and, if wanted, entity")
    sub.add_argument("--json", action="store_true", help="everything, for programs")
    _model_commands(of)
    sub = command("audit-lookahead", _audit, "prove on the stored decisions that none has looked ahead")
    sub.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="by default up to 25 of the universe")
    sub.add_argument("--sample", type=_count, default=200, metavar="N", help="how many decisions (default 200)")
    sub.add_argument("--seed", type=int, default=0, metavar="K", help="which ones (default 0)")
    sub.add_argument("--json", action="store_true", help="every difference, for a program")
    sub = command("explain", _explain, "a signal, with everything that it rests on")
    sub.add_argument("symbol", metavar="SYMBOL")
    sub.add_argument("--horizon", choices=HORIZONS, help="by default that of the newest signal")
    sub.add_argument("--engine", choices=("rules", "ml"), default="rules", help="whose signal (default rules)")
    sub.add_argument("--as-of", metavar="T", help="the newest by then; ISO, in exchange time unless it has an offset")
    sub.add_argument("--json", action="store_true", help="for a program")
    return parser


def _model_commands(of: Any) -> None:
    """Those of `paiid models` besides evaluate."""

    def command(name: str, run: Callable[[argparse.Namespace, Settings], int], help_: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = of.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
        sub.set_defaults(run=run)
        return sub

    def training(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--data", type=Path, metavar="FOLDER", help="of labelled texts; by default PAIID_DATA_DIR")
        sub.add_argument("--base", metavar="X", help="a folder or hub name of an encoder; by default MiniLM-L6")
        sub.add_argument("--seed", type=int, default=0, metavar="N", help="(default 0)")
        sub.add_argument("--epochs", type=_count, metavar="N", help="of each training; by default the recipe's")

    sub = command("train", _train, "train our own model and fit the ensemble; what beats the champion is used at once")
    training(sub)
    sub.add_argument("--only", choices=("custom_bert", "ensemble"), help="by default both")
    sub = command("import", _import, "check, sign and register a model from a folder or a hub")
    sub.add_argument("name", metavar="NAME", help="finbert or custom_bert")
    sub.add_argument("source", metavar="SOURCE", help="a folder, or a hub's name such as yiyanghkust/finbert-tone")
    sub.add_argument("--labelled", type=Path, metavar="CSV", help="texts with labels, to compare it with the champion")
    sub = command("movement", _movement, "foretell tomorrow's rises and falls from prices and posts, and measure it")
    sub.add_argument("--data", type=Path, metavar="FOLDER", help="of stocknet's files; by default PAIID_DATA_DIR")
    sub.add_argument("--json", action="store_true", help="everything, for programs")
    sub = command("list", _list, "registered versions: which is used, how good each is, and why it was promoted or not")
    sub.add_argument("name", nargs="?", metavar="NAME")
    sub.add_argument("--json", action="store_true", help="everything, for programs")
    sub = command("promote", _promote, "put a version to the gate, and to use where it passes")
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("version", type=_count, metavar="VERSION")
    sub.add_argument("--data", type=Path, metavar="FOLDER", help="whose held-out texts decide; by default the newest")
    sub.add_argument("--labelled", type=Path, metavar="CSV", help="texts with labels that decide instead")
    sub.add_argument("--force", action="store_true", help="without the gate, such as back to an earlier version")
    sub = command("report", _report, "measure our own model by the protocol, fold by fold; takes hours, can be resumed")
    training(sub)
    sub.add_argument("--folds", type=int, nargs="+", choices=range(5), default=list(range(5)), metavar="K")
    sub.add_argument("--out", type=Path, metavar="FILE", help="ending in .md or .json; by default it is printed")


def _up(_options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.up import up

    return up(settings, settings.web_port)


def _demo(_options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.up import demo

    return demo(settings)


def _backfill(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import with_services
    from paiid_pipeline.local.home_settings import extend_back

    first, last = options.first, options.last or options.first
    if last < first:
        raise ValueError(f"paiid backfill {first} {last}: the last date is before the first")
    module = "paiid_pipeline.first_pass"
    command = [sys.executable, "-u", "-m", module, first.isoformat(), last.isoformat()]
    return with_services(settings, command, extend_back(settings, first))


def _with_services(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import with_services

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        print_err("paiid: with-services needs a command, such as `paiid with-services dagster asset list …`")
        return 2
    return with_services(settings, command)


def _sql(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import ask

    if options.statement is None and sys.stdin.isatty():
        print_err("SQL, ended by Ctrl-D:")
    statement = sys.stdin.read() if options.statement is None else options.statement
    return ask(settings, statement, options.format, as_analyst=options.analyst)


def _url(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import print_url

    return print_url(settings, options.of)


def _status(_options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import print_status

    return print_status(settings)


def _score(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.score import score

    text = sys.stdin.read() if options.text is None else options.text
    return score(settings, text, options.symbol, budget_ms=options.budget_ms, as_json=options.json)


def _audit(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import stored
    from paiid_pipeline.cli.audit import audit_lookahead

    with stored(settings) as found:
        return audit_lookahead(found, options.symbols, options.sample, options.seed, as_json=options.json)


def _explain(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.access import stored
    from paiid_pipeline.cli.explain import explain

    with stored(settings) as found:
        return explain(
            found, options.symbol, options.horizon, options.as_of, engine=options.engine, as_json=options.json
        )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: write it as 2026-03-01") from None


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count: use a whole number from 1 up")
    return int(text)


def _models_help(_options: argparse.Namespace, _settings: Settings) -> int:
    print_err("paiid models: say what to do, such as `paiid models train` (see paiid models --help)")
    return 2


def _evaluate(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.score import evaluate

    return evaluate(settings, options.file, as_json=options.json)


def _movement(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.movement import movement

    folder = options.data or settings.data_dir
    if folder is None:
        print_err("paiid models movement: give --data FOLDER, or set PAIID_DATA_DIR")
        return 2
    return movement(settings, folder, as_json=options.json)


def _train(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.models import train
    from paiid_pipeline.ml.text.custom_bert import Choice

    choice = Choice(options.base, options.seed, options.epochs)
    return train(settings, options.data, choice, only=options.only)


def _import(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.models import import_

    return import_(settings, options.name, options.source, options.labelled)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.models import list_

    return list_(settings, options.name, as_json=options.json)


def _promote(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.models import promote_

    return promote_(settings, options.name, options.version, options.data, options.labelled, forced=options.force)


def _report(options: argparse.Namespace, settings: Settings) -> int:
    from paiid_pipeline.cli.models import report
    from paiid_pipeline.ml.text.custom_bert import Choice

    choice = Choice(options.base, options.seed, options.epochs)
    return report(settings, options.data, choice, options.folds, options.out)
