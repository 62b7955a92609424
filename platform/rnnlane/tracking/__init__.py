"""MLflow: client, store, outbox, delivery and model packaging."""
