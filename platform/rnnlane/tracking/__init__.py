"""Where runs are recorded: the Tracker, its MLflow implementation, figures, model packaging."""
