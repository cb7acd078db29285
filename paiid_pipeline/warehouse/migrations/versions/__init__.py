"""One file a version, ``NNNN_what_it_does.py``; its revision id is the four digits."""
