"""A YOLO of a few lines whose convolution has a signature of its own, for tests with torch."""

from __future__ import annotations

import textwrap
from pathlib import Path

import torch_fork

# Class by class: its name, its parameters, and a row's arguments that leave the kernel out.
CONVS = {
    "kernel": ("CBA", "cin, cout, kernel=3, stride=1, act=True", "[8]"),
    "stride": ("Conv", "cin, cout, stride=1, kernel=3, act=True", "[8, 2]"),
}


def write(folder: Path, which: str, package: str = "models") -> Path:
    """Write the fork into `folder`; its own rows are those of ``own.yaml``."""
    name, parameters, row = CONVS[which]
    common = textwrap.dedent(f"""
        import torch
        from torch import nn

        class {name}(nn.Module):
            def __init__(self, {parameters}):
                super({name}, self).__init__()
                self.conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
                self.bn = nn.BatchNorm2d(cout)
                self.act = nn.SiLU() if act else nn.Identity()

            def forward(self, x):
                return self.act(self.bn(self.conv(x)))

        class Narrow({name}):
            def __init__(self, cin, cout):
                super().__init__(cin, cout, act=False)

        class Pair(nn.Module):
            def __init__(self, cin, cout):
                super().__init__()
                self.first, self.second = {name}(cin, cout), Narrow(cout, cout)

            def forward(self, x):
                return self.second(self.first(x))
    """)
    common += torch_fork.CONCAT
    yolo = torch_fork.FILES["models/yolo.py"]
    yolo = yolo.replace("import Concat, Conv", f"import Concat, {name}, Pair")
    yolo = yolo.replace("if m in [Conv]:", f"if m in ({name}, Pair):")
    yolo = yolo.replace("if m is Conv else", f"if m in {{{name}, Pair}} else")
    yolo = yolo.replace("from models.", f"from {package}.").replace("str(m)", "str(m)[8:-2]")
    own = f"""
        nc: 2
        ch: 1
        anchors: [[10, 13, 16, 30]]
        backbone: [[-1, 1, {name}, {row}], [-1, 1, Pair, [8]], [-1, 1, {name}, [8, 1, 1]]]
        head: [[[2], 1, Detect, [nc, anchors]]]
    """
    files = {f"{package}/__init__.py": "", f"{package}/common.py": common}
    files |= {f"{package}/yolo.py": yolo, "own.yaml": own}
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(textwrap.dedent(text))
    return folder
