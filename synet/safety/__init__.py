"""What a network does that a chip cannot run, and layers that do the same."""
