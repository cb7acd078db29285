"""Models: training, evaluation, registry, inference. The only package that uses MLflow, torch and XGBoost."""
