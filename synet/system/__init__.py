"""What everything else stands on: files, streams, the environment."""
