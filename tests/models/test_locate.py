"""Where a fork lies, and by which names its modules import each other."""

from __future__ import annotations

import pytest

from synet.models.locate import import_name


@pytest.mark.parametrize(
    ("file", "imports", "base", "name"),
    [
        ("models/yolo.py", "from models.common import *", ".", "models.yolo"),
        ("src/models/yolo.py", "from models.common import *", "src", "models.yolo"),
        ("ours/models/yolo.py", "from ours.models.common import *", ".", "ours.models.yolo"),
        ("models/yolo.py", "import fork.models.common", "..", "fork.models.yolo"),
        ("ours/models/yolo.py", "from ..common import Conv", ".", "ours.models.yolo"),
        ("yolo.py", "from common import *", ".", "yolo"),
        ("fork/nn/tasks.py", "from fork.nn import Conv", ".", "fork.nn.tasks"),
    ],
)
def test_a_module_is_called_what_its_fork_calls_it(tmp_path, file, imports, base, name):
    root = tmp_path / "fork"
    path = root / file
    path.parent.mkdir(parents=True)
    for folder in (path.parent, *path.parent.parents):
        if folder.is_relative_to(root) and folder != root:
            (folder / "__init__.py").touch()
    path.write_text(f"import os\n{imports}\n")
    found = import_name(root, path)
    assert (found[0].resolve(), found[1]) == ((root / base).resolve(), name)
