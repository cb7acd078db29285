"""The one resource: the parts of the pipeline, as the settings of this process have them."""

from datetime import date, datetime

import dagster as dg

from paiid_pipeline.decisions import news_window
from paiid_pipeline.wiring import Components


class PipelineResource(dg.ConfigurableResource["PipelineResource"], Components):
    """`wiring.Components` for assets, checks, schedules and sensors."""

    def news_window(self, day: date) -> tuple[datetime, datetime]:
        """When articles of the partition ``day`` are published; asks no vendor."""
        return news_window(day, self.calendar, self.settings.news_lookback)
