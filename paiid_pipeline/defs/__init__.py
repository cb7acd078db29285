"""The Dagster definitions, wiring only: each asset reads, calls one domain function, writes and reports."""

import warnings

import dagster as dg

# Dagster is pinned exactly, so a beta feature cannot change unnoticed, and the warnings would repeat at every start.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)
