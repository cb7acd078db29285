"""Indicators at each decision time."""
