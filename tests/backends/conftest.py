"""What tests of whole forks start from, and leave behind."""

from fork_fixtures import forks, unpatched

__all__ = ["forks", "unpatched"]
