"""The command `paiid`: everything that a person does with the pipeline outside Dagster's UI."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from paiid_pipeline.cli.parser import paiid_parser
from paiid_pipeline.console import print_err


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 2 for a wrong setting or argument, 1 for what failed."""
    parser = paiid_parser()
    options = vars(parser.parse_args(arguments))
    command: str | None = options.pop("run")
    if command is None:
        parser.print_help()
        return 0
    from paiid_pipeline.settings import SettingsError, load_settings  # costs more than all of `paiid --help`

    home = Path()
    try:
        settings = load_settings()
        home = settings.home
        return function_of(command)(settings, **options)
    except SettingsError as error:  # of this process, or of those that the stored data was made with
        for problem in error.problems:
            print_err(f"paiid: {problem}")
        return 2
    except (ValueError, LookupError) as error:
        print_err(f"paiid: {error.args[0] if isinstance(error, KeyError) else error}")
        return 2
    except BrokenPipeError:  # `paiid sql … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (RuntimeError, OSError) as error:
        print_err(f"paiid: {_message(error, home)}")
        return 1
    except KeyboardInterrupt:
        return 130


def function_of(command: str) -> Callable[..., int]:
    """What a command runs, ``module:function`` of this package, imported now: it takes the settings and the options."""
    module, _, name = command.partition(":")
    found: Callable[..., int] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def _message(error: RuntimeError | OSError, home: Path) -> str:
    """The text of an error; for a file under the home that cannot be made, read or written, with the remedy."""
    file = str(error.filename) if isinstance(error, OSError) and error.filename else None
    if not isinstance(error, OSError) or file is None:
        return str(error)
    remedy = ": set PAIID_HOME to a folder that you may write to" if Path(file).is_relative_to(home) else ""
    return f"{file}: {error.strerror}{remedy}"
