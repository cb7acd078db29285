"""A whole pipeline, as the tests of the wiring use it."""

from paiid_pipeline_tests.defs.conftest import make_world, no_state_of_another_instance, universe, world

__all__ = ["make_world", "no_state_of_another_instance", "universe", "world"]
