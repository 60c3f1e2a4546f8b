"""The TFLite file: read with care, its graph, its metadata, and running it."""
