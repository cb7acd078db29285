"""Texts in, scores out, and their decayed mean a decision. Pure."""
