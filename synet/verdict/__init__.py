"""Whether a chip runs a file: its rules, its compiler, its memory, and what would fit."""
