"""How good a model is, and how much of what is seen of that is chance."""
