"""Signal models: data, training, evaluation, promotion and the engines that serve them."""
