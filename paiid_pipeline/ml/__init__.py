"""Models: training, evaluation, registration, serving. The only room that speaks MLflow, torch and XGBoost."""
