"""A local exchange in Alpaca's shapes: made-up or recorded data behind the vendor's HTTP interface."""
