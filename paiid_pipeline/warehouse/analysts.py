"""The analysts' way in: the role ``paiid_analyst``, which may read the documented views and nothing else."""

from __future__ import annotations

import psycopg2
from psycopg2.extensions import encrypt_password

ROLE = "paiid_analyst"
VIEWS = (
    "signals_latest",
    "signals_history",
    "sentiment_daily",
    "article_sentiment_latest",
    "indicators_latest",
    "model_performance",
)


def set_analyst_password(url: str, password: str) -> None:
    """Let analysts log in with a password. The server is sent its SCRAM verifier only, so no log can hold it."""
    if not password:
        raise ValueError("PAIID_ANALYST_PASSWORD is empty: give one, or leave it unset to keep analysts out")
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            verifier = encrypt_password(password, ROLE, scope=connection, algorithm="scram-sha-256")
            cursor.execute(f"ALTER ROLE {ROLE} LOGIN PASSWORD %s", (verifier,))
    finally:
        connection.close()
