"""The look-ahead audit of stored decisions."""
