import dagster as dg

from paiid_pipeline import universe_snapshot
from paiid_pipeline.defs.operations.assets import retention_job


@dg.sensor(
    job=retention_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails, and starts nothing, while the universe file differs from the one read at the start.",
)
def universe_file() -> dg.SkipReason:
    if words := universe_snapshot.changed():
        raise dg.Failure(words)
    return dg.SkipReason("the universe in use is that of the file")
