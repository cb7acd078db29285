"""Servers from wheels and the processes of `paiid up`, on one machine."""
