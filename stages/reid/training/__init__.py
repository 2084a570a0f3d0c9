"""Training: the run's session, one step of it, losses, optimisers, states to resume from."""
