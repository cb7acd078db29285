"""What one market refresh costs as a whole process, against a process that only imports dagster and polars.

    python -m paiid_pipeline_tests.benchmarks.bench_startup

Starts its own Postgres, Redis and synthetic exchange, makes one whole pass, and then runs the market refresh again
and again, each in a fresh process against Dagster's Postgres storage, in turns with the bare import. CPU seconds are
the operating system's own account of each finished process (user + system).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from paiid_pipeline_tests.benchmarks.table import Row, show

BARE = "import dagster, polars"
REFRESH = """
import sys
from paiid_pipeline.definitions import defs
from paiid_pipeline.defs.cadence import op_config
from paiid_pipeline.first_pass import newest_partitions
from paiid_pipeline.defs.partitions import run_tags
from paiid_pipeline.defs.resources import PipelineResource
import dagster as dg
_, day, _ = newest_partitions(PipelineResource())
with dg.DagsterInstance.get() as instance:
    done = defs.resolve_job_def("market_refresh").execute_in_process(
        instance=instance, tags=run_tags(day, day, by_segment=True),
        run_config={**op_config(hot_results={"kinds": ["market"]}), "loggers": {"progress": {}}})
heavy = [m for m in ("torch", "transformers", "mlflow", "great_expectations", "xgboost") if m in sys.modules]
print("heavy imports:", heavy)
sys.exit(0 if done.success and not heavy else 1)
"""
GOAL = 2.5


def cpu_seconds(code: str) -> float:
    """CPU seconds of a fresh process that runs the code. Raises where it fails."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the process failed: {said}")
    return usage.ru_utime + usage.ru_stime


def measure(rounds: int) -> list[Row]:
    """The medians over rounds in which the two take turns."""
    cpu_seconds(REFRESH)
    pairs = [(cpu_seconds(REFRESH), cpu_seconds(BARE)) for _ in range(rounds)]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"{min(a for a, _ in pairs):.2f}–{max(a for a, _ in pairs):.2f} s"
    return [
        Row(
            "market refresh, whole process",
            f"{ours:.2f} s CPU ({spread})",
            f"import dagster, polars: {bare:.2f} s",
            statistics.median(a / b for a, b in pairs),
            f"≤ {GOAL} s CPU: {'met' if ours <= GOAL else 'missed'}",
        )
    ]


def main() -> None:
    """Start the services where they are not given, and print the table."""
    full = os.environ.get("BENCH") == "full"
    if "PAIID_POSTGRES_URL" in os.environ:
        show("Start-up", measure(9 if full else 5))
        return
    with tempfile.TemporaryDirectory(prefix="paiid-bench-") as home:
        env = {**os.environ, "PAIID_HOME": str(Path(home) / ".paiid"), "PAIID_SOURCE": "synthetic"}
        paiid = [sys.executable, "-m", "paiid_pipeline.cli"]
        subprocess.run([*paiid, "demo"], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        inside = [sys.executable, "-m", "paiid_pipeline_tests.benchmarks.bench_startup"]
        subprocess.run([*paiid, "with-services", *inside], env=env, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
