"""``python -m paiid_pipeline.api [--port N]``: the API on the servers that the environment names."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from paiid_pipeline.api.server import serve
from paiid_pipeline.console import print_err
from paiid_pipeline.settings import load_settings


def main() -> int:
    """Serve until a signal. Returns the exit code: 2 for a wrong setting, 1 for a port that is taken."""
    parser = ArgumentParser(prog="python -m paiid_pipeline.api", description=__doc__)
    parser.add_argument("--port", type=int, help="by default PAIID_API_PORT, else 8000")
    port = parser.parse_args().port
    try:
        settings = load_settings()
        return serve(settings, settings.api_port if port is None else port)
    except (ValueError, LookupError) as error:
        print_err(f"paiid: {error}")
        return 2
    except OSError as error:
        print_err(f"paiid: {error.strerror}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
