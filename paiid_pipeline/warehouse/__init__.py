"""PostgreSQL: migrations, bulk writes, reads as of a moment, analysts' views. The only SQL of the package."""

from paiid_pipeline.warehouse.bitemporal import BitemporalStore
from paiid_pipeline.warehouse.connections import WarehouseError
from paiid_pipeline.warehouse.coverage import CoveredRange
from paiid_pipeline.warehouse.decision_store import DecisionTable
from paiid_pipeline.warehouse.migrate import migrate
from paiid_pipeline.warehouse.tables import WriteResult
from paiid_pipeline.warehouse.warehouse import Warehouse

__all__ = [
    "BitemporalStore",
    "CoveredRange",
    "DecisionTable",
    "Warehouse",
    "WarehouseError",
    "WriteResult",
    "migrate",
]
