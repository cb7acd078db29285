"""All that Dagster sees: wiring only. Each asset reads, calls one domain function, writes and reports."""

import warnings

import dagster as dg

# Dagster is pinned exactly, so that a feature may be marked beta cannot surprise us; said at every start it is noise.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)
