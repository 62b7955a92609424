"""What stands between a machine, or a cluster, and a run."""
