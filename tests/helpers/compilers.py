"""The versions of a chip's compiler, where they can be had."""

from __future__ import annotations

import pytest

from synet.chips import Chip
from synet.system.errors import SynetError
from synet.verdict.program import program


def asking(chip: Chip, version: str) -> Chip:
    """`Chip.asking`; the test is skipped where there is neither that compiler nor a network."""
    try:
        program(version, chip.compiler.versions[0])
    except SynetError as error:
        pytest.skip(str(error))
    return chip.asking(version)
