"""Market data of vendors over HTTP, and a local simulator of one of them.

``fetch`` is the entry: data requests to the source of the settings, answered with validated rows and refusals.
"""

from paiid_pipeline.sources.base import DataRequest
from paiid_pipeline.sources.fetch import WITHOUT_ACTIONS, DataKind, Fetched, Source, fetch, open_source, provided

__all__ = ["WITHOUT_ACTIONS", "DataKind", "DataRequest", "Fetched", "Source", "fetch", "open_source", "provided"]
