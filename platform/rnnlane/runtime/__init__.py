"""Everything that knows Ray: cluster, trainer, worker."""
