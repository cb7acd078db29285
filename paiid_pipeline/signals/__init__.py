"""Indicators and sentiment in, signals with reasons out. Pure."""
