"""What runs by the clock: the deployments and the flows that only they start."""
