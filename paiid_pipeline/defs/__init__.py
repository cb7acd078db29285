"""All that Dagster sees: wiring only. Each asset reads, calls one domain function, writes and reports."""
