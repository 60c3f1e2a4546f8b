"""A name from the zoo, a yaml or a file becomes a network that can be called."""
