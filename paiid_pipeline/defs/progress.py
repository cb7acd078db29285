"""A logger that prints the progress of a run to the terminal."""

import logging
import sys

import dagster as dg


class _Lines(logging.Handler):
    """Prints the messages, start, end and failure of each asset; checks only if they fail."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event: dg.DagsterEvent | None = meta.get("dagster_event")
        if event is None:
            self._print(f"    {meta.get('orig_message', record.getMessage())}")
            return
        name = event.step_key or ""
        if event.is_step_start and not _checks(event):
            self._print(f"  {name} …")
        elif event.is_step_success and not _checks(event):
            self._print(f"  {name} done in {event.step_success_data.duration_ms / 1000:.1f} s")
        elif event.is_step_failure:
            error = event.step_failure_data.error
            cause = error.cause or error if error else None
            self._print(f"  {name} FAILED: {cause.message.strip() if cause else 'no reason was given'}")
        elif event.event_type_value == "ASSET_CHECK_EVALUATION" and not event.asset_check_evaluation_data.passed:
            evaluation = event.asset_check_evaluation_data
            word = "CHECK WARNS" if evaluation.severity == dg.AssetCheckSeverity.WARN else "CHECK FAILED"
            self._print(f"  {name} {word}: {evaluation.description}")

    def _print(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _checks(event: dg.DagsterEvent) -> bool:
    return (event.step_key or "").endswith(("_sound_rows", "_readable_keys", "_promotion"))


@dg.logger
def progress(_init: dg.InitLoggerContext) -> logging.Logger:
    """One line an asset, for a person at a terminal."""
    logger = logging.Logger("progress", logging.DEBUG)
    logger.addHandler(_Lines())
    return logger
