"""What the rest stands on: the process and its surroundings."""
