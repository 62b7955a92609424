"""The training loop and its parts: torch only, neither Ray nor MLflow."""
