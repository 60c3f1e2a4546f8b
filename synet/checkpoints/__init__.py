"""Safe reading of checkpoints."""
