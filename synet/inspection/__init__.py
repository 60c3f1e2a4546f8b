"""What a model costs, before it is made and after."""
