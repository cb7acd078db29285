"""The one Definitions object: what Dagster loads."""

import dagster as dg

from paiid_pipeline import defs as package
from paiid_pipeline.defs.progress import progress
from paiid_pipeline.defs.resources import PipelineResource

defs = dg.load_definitions_from_package_module(
    package,
    resources={"pipeline": PipelineResource()},
    executor=dg.in_process_executor,
    loggers={"console": dg.colored_console_logger, "progress": progress},
)
