"""Scores of articles and their decayed aggregate per symbol."""
