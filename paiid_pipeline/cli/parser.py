"""The commands of `paiid`: their names, arguments and options, and the function that each runs."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from datetime import date
from pathlib import Path

from paiid_pipeline.trading_calendar import HORIZONS

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
  PAIID_API_PORT      the port of the API and the signal board (default 8000)
"""

Add = Callable[[str, str, str], ArgumentParser]
"""Adds a command by its name, the ``module:function`` that it runs, and its help."""


def paiid_parser() -> ArgumentParser:
    """The parser; ``run`` of what it returns is the function of the command as ``module:function``, None without one.

    Everything else it returns is a keyword argument of that function.
    """
    parser = ArgumentParser(
        prog="paiid",
        description="News and market bars in; sentiment, indicators and trading signals out.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=None)
    command = _adder(parser)
    command("up", "up:up", "run the whole graph once, then keep refreshing until Ctrl-C")
    command("demo", "up:demo", "run the whole graph once, print the signals, and stop everything")
    _server_commands(command)
    _inspection_commands(command)
    models = command("models", "models:missing_command", "the sentiment models")
    model_command = _adder(models)
    _training_commands(model_command)
    _registry_commands(model_command)
    return parser


def _adder(parser: ArgumentParser) -> Add:
    commands = parser.add_subparsers(title="commands", metavar="")

    def add(name: str, run: str, help_: str) -> ArgumentParser:
        description = f"{help_[0].upper()}{help_[1:]}."
        command = commands.add_parser(name, help=help_, description=description)
        command.set_defaults(run=run)
        return command

    return add


def _server_commands(command: Add) -> None:
    backfill = command(
        "backfill", "access:backfill", "make the history between two dates: news first, then the decisions on them"
    )
    backfill.add_argument("first", type=_day, metavar="FIRST", help="such as 2026-03-01")
    backfill.add_argument("last", type=_day, metavar="LAST", nargs="?", help="by default FIRST alone")
    services = command(
        "with-services", "access:run_command", "run any command with the servers' addresses in its environment"
    )
    services.add_argument("command", nargs=REMAINDER, metavar="CMD …")
    api = command("api", "access:api", "answer applications over HTTP, and show the signal board, until Ctrl-C")
    api.add_argument("--port", type=_count, metavar="N", help="by default PAIID_API_PORT, else 8000")
    sql = command("sql", "access:sql", "query the warehouse: one or more statements, or standard input; commits")
    sql.add_argument("statement", nargs="?", help="SQL; without it, standard input is read")
    sql.add_argument("--analyst", action="store_true", help="as the read-only role paiid_analyst")
    sql.add_argument("--format", dest="form", choices=("table", "csv", "json"), default="table")
    url = command(
        "url", "access:print_url", "print an address for psql or redis-cli, with its password; needs a running paiid"
    )
    url.add_argument("of", choices=("postgres", "analyst", "redis"))
    command("status", "access:print_status", "what runs, and where")


def _inspection_commands(command: Add) -> None:
    score = command("score", "score:score", "the sentiment of one text, by every installed model and their ensemble")
    score.add_argument("text", nargs="?", help="without it, standard input is read")
    score.add_argument("--symbol", help="whose sentiment is asked for, where the text names it")
    score.add_argument("--budget-ms", type=float, help="leave out models that cost more a text than this")
    _json(score)
    audit = command("audit-lookahead", "audit:audit", "prove on the stored decisions that none has looked ahead")
    audit.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="by default up to 25 of the universe")
    audit.add_argument("--sample", type=_count, default=200, metavar="N", help="how many decisions (default 200)")
    audit.add_argument("--seed", type=int, default=0, metavar="K", help="which ones (default 0)")
    _json(audit)
    explain = command("explain", "explain:explain_stored", "a signal, with all its inputs")
    explain.add_argument("symbol", metavar="SYMBOL")
    explain.add_argument("--horizon", choices=HORIZONS, help="by default that of the newest signal")
    explain.add_argument("--engine", choices=("rules", "ml"), default="rules", help="whose signal (default rules)")
    explain.add_argument("--as-of", metavar="T", help="the newest by then; ISO, exchange time unless it has an offset")
    _json(explain)


def _training_commands(command: Add) -> None:
    def training(parser: ArgumentParser) -> ArgumentParser:
        _data(parser, "of labelled texts; by default PAIID_DATA_DIR")
        parser.add_argument("--base", metavar="X", help="a folder or hub name of an encoder; by default MiniLM-L6")
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default 0)")
        parser.add_argument("--epochs", type=_count, metavar="N", help="of each training; by default the recipe's")
        return parser

    evaluate = command("evaluate", "score:evaluate", "measure the installed models and the ensemble on a labelled file")
    evaluate.add_argument("path", type=Path, metavar="file", help="a CSV of text, label and, if wanted, entity")
    _json(evaluate)
    train = training(
        command(
            "train", "models:train", "train our own model and fit the ensemble; what beats the champion is used at once"
        )
    )
    train.add_argument("--only", choices=("custom_bert", "ensemble"), help="by default both")
    report = training(
        command(
            "report",
            "models:report",
            "measure our own model by the protocol, fold by fold; takes hours, resumes",
        )
    )
    report.add_argument("--folds", type=int, nargs="+", choices=range(5), default=list(range(5)), metavar="K")
    report.add_argument("--out", type=Path, metavar="FILE", help="ending in .md or .json; by default it is printed")
    movement = command(
        "movement", "movement:movement", "predict next-day price direction by the StockNet protocol, and measure it"
    )
    _data(movement, "of stocknet's files; by default PAIID_DATA_DIR")
    _json(movement)


def _registry_commands(command: Add) -> None:
    import_ = command("import", "models:import_", "check, sign and register a model from a folder or a hub")
    import_.add_argument("name", metavar="NAME", help="finbert or custom_bert")
    import_.add_argument("source", metavar="SOURCE", help="a folder, or a hub's name such as yiyanghkust/finbert-tone")
    import_.add_argument("--labelled", type=Path, metavar="CSV", help="labelled texts, to compare it with the champion")
    list_ = command(
        "list", "models:list_", "registered versions: which is used, its metrics, and why it was promoted or not"
    )
    list_.add_argument("name", nargs="?", metavar="NAME")
    _json(list_)
    promote = command("promote", "models:promote_", "put a version through the gate, and to use where it passes")
    promote.add_argument("name", metavar="NAME")
    promote.add_argument("version", type=_count, metavar="VERSION")
    _data(promote, "whose held-out texts decide; by default the newest")
    promote.add_argument("--labelled", type=Path, metavar="CSV", help="texts with labels that decide instead")
    promote.add_argument(
        "--force", dest="forced", action="store_true", help="without the gate, such as back to an earlier version"
    )


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", dest="as_json", action="store_true", help="everything, for programs")


def _data(parser: ArgumentParser, help_: str) -> None:
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=help_)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date: write it as 2026-03-01") from None


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a count: use a whole number from 1 up")
    return int(text)
