"""Labelled texts, and a model small enough to train in a test."""

from paiid_pipeline_tests.ml.conftest import tiny_base
from paiid_pipeline_tests.ml.text.conftest import empty_register, home, labelled_folder, learnt, small_recipe

__all__ = ["empty_register", "home", "labelled_folder", "learnt", "small_recipe", "tiny_base"]
