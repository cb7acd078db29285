"""Training, measuring, signing and keeping the models: data folders and texts in, signed model folders out."""
