"""Row rules of every table."""
