"""The errors of SyNet: what the command line tells in a line, and a program may catch."""

from synet.system.errors import (
    CheckpointError,
    ChipError,
    DataError,
    ExportError,
    PatchError,
    SynetError,
    TrainingError,
    UnfitError,
    VerificationError,
)

__all__ = [
    "CheckpointError",
    "ChipError",
    "DataError",
    "ExportError",
    "PatchError",
    "SynetError",
    "TrainingError",
    "UnfitError",
    "VerificationError",
]
