"""Vendors' bars, news and corporate actions, as they become known."""
