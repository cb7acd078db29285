"""Text classifiers: data, training, evaluation, promotion, export and serving."""
