"""Bars in, indicators out: adjusted, computed and read as of each decision. Pure."""
