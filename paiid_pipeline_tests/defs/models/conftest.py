"""Labelled texts, and a model small enough to train in a test."""

from paiid_pipeline_tests.learning.conftest import empty_register, home, labelled_folder, learnt, small_recipe
from paiid_pipeline_tests.models.conftest import tiny_base

__all__ = ["empty_register", "home", "labelled_folder", "learnt", "small_recipe", "tiny_base"]
