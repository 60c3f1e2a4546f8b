"""A network that is being trained learns from another one, which looks at the same images."""
