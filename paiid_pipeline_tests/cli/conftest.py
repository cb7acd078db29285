"""The same worlds as for the graph."""

from paiid_pipeline_tests.defs.conftest import make_world, universe, world

__all__ = ["make_world", "universe", "world"]
