"""A local server with Alpaca's HTTP interface, over synthetic or recorded data."""
