"""The layers of a file, whatever its format."""
