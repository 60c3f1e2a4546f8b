"""From a trained network to an int8 file that is proven to do the same."""
