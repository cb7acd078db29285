"""Vendors' market data over HTTP, and local servers that speak the same.

``fetch`` is the one entry: it asks the source that the settings name, and returns checked rows and refusals.
"""

from paiid_pipeline.sources.base import DataRequest
from paiid_pipeline.sources.fetch import WITHOUT_ACTIONS, DataKind, Fetched, Source, fetch, open_source, provided

__all__ = ["WITHOUT_ACTIONS", "DataKind", "DataRequest", "Fetched", "Source", "fetch", "open_source", "provided"]
