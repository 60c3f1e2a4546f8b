"""Model files that a reader refuses, in a line that names them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from synet.inspection.readers.formats import ModelSource
from synet.system.errors import SynetError


def refused_by(reader: ModuleType, path: Path, match: str) -> None:
    """See that a module of `synet.inspection.readers` refuses a file, whatever it is asked for."""
    for read in (reader.layers, lambda source: list(reader.kernels(source))):
        with pytest.raises(SynetError, match=match) as caught:
            read(ModelSource(path))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
