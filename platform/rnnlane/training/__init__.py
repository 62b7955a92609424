"""The optimisation: torch only, neither Ray nor MLflow."""
