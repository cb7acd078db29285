"""Serves the API on this machine's own address, until a signal."""

from __future__ import annotations

import socket

from paiid_pipeline.console import print_err
from paiid_pipeline.settings import Settings

HOST = "127.0.0.1"


def serve(settings: Settings, port: int) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit code.

    Raises LookupError with the remedy where an address is missing, OSError where ``port`` is taken.
    """
    import uvicorn

    from paiid_pipeline.api.app import create_app

    app = create_app(settings)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise OSError(error.errno, f"port {port} is taken: --port chooses another", None) from None
        place = f"http://{HOST}:{listening.getsockname()[1]}"
        print_err(f"paiid: API on {place} ({place}/api/openapi.json), open to every user of this machine: dev")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False))
        server.run(sockets=[listening])
    return 0
