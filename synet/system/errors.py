"""The errors that SyNet tells its user, each one line: what is wrong, where, and what to do.

::

    SynetError                 a user's mistake             exit status 2
    |-- ChipError              a chip that does not exist, or another one
    |   `-- UnfitError         the chip cannot run it    exit status 3
    |-- DataError              a data yaml, label or image
    |-- CheckpointError        a .pt that cannot or may not be read
    |-- PatchError             a fork that lacks what a patch needs
    |-- ExportError            a torch function with no Keras twin
    |-- TrainingError          a training that we started   exit status 1
    `-- VerificationError      our own check failed         exit status 1
"""

import errno

from synet.system.text import printable

# What may meet any reader and writer, of temporary files and of standard output as well.
OF_THE_SYSTEM = {errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG}


class SynetError(Exception):
    """A mistake that the user can mend; the command line prints its text and no traceback.

    Each argument is a line: of several things that are wrong, each has its own.
    """

    exit_status = 2

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))

    @property
    def told(self) -> str:
        """The text as a terminal may be shown it; a name that breaks the line does not."""
        return "\n".join(map(printable, self.args))


class ChipError(SynetError):
    """The chip does not exist, its file is malformed, or it is not the one that was agreed on."""


class UnfitError(ChipError):
    """The chip was asked, and cannot run the model: no mistake, and a script may go on from it."""

    exit_status = 3


class DataError(SynetError):
    """A data yaml, an image or a label file is missing or malformed."""


class CheckpointError(SynetError):
    """A checkpoint is not one, is damaged, or holds what may not be loaded."""


class PatchError(SynetError):
    """A fork lacks a name that the patch needs, or a patch is already in place."""


class ExportError(SynetError):
    """A torch function has no Keras twin, or is used in a way that cannot be exported."""


class TrainingError(SynetError):
    """A training that SyNet itself started has failed."""

    exit_status = 1


class VerificationError(SynetError):
    """An exported file does not do what the float model did."""

    exit_status = 1
