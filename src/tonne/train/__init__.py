"""Training a transformer: data, objectives, the loop, checkpoints."""
