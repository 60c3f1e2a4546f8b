"""Reading a fork's source for what a patch needs to know, without running any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from synet.system.files import lies_within

ROW = 4  # from, number, module, arguments
LOOKUPS = {"eval", "globals", "getattr", "locals", "get"}  # how a builder finds a layer by its name
CLASSES = {"nc", "num_classes", "n_classes", "classes"}  # the first parameter of a head
FOREIGN = {"tensorflow", "keras"}


@dataclass(frozen=True)
class Defined:
    """A function or class in a fork: its name, where it stands, and its parameters."""

    name: str
    file: Path
    line: int
    parameters: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Survey:
    """What was found below a folder; file names are relative to it.

    Parameters
    ----------
    builders
        Functions that make layers of the rows of a model yaml.
    convolutions
        Classes of a convolution, batch norm and an activation.
    joins
        Classes that concatenate.
    heads
        Classes that look like detection heads.
    models
        Classes that call one of the builders.
    networks
        Functions and methods that return a network, where no builder was found.
    scripts
        Training scripts.
    """

    root: Path
    builders: list[Defined] = field(default_factory=list)
    convolutions: list[Defined] = field(default_factory=list)
    joins: list[Defined] = field(default_factory=list)
    heads: list[Defined] = field(default_factory=list)
    models: list[Defined] = field(default_factory=list)
    networks: list[Defined] = field(default_factory=list)
    scripts: list[Defined] = field(default_factory=list)


def survey(root: Path) -> Survey:
    """Look through the Python files below `root`. What cannot be parsed is passed over."""
    found = Survey(root)
    trees = list(_trees(root))
    for file, tree in trees:
        foreign = bool(FOREIGN & _imports(tree))  # the same network in another framework
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                if not foreign and _makes_layers_of_rows(node):
                    found.builders.append(_function(node, file))
                elif node.name.startswith(("build_model", "get_model", "create_model")):
                    found.networks.append(_function(node, file))
            elif isinstance(node, ast.ClassDef):
                _sort_class(node, file, found)
        if _is_training_script(file, tree):
            found.scripts.append(Defined(file.name, file, 1))
    names = {builder.name for builder in found.builders}
    names |= {  # helpers that call one
        node.name
        for _, tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and names & {*_called_names(node)}
    }
    for file, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and names & {*_called_names(node)}:
                found.models.append(_class(node, file))
    found.scripts.sort(key=lambda script: (len(script.file.parts), script.file.stem != "train"))
    return found


def _trees(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(root.rglob("*.py")):
        if lies_within(file.resolve(), root):
            try:
                yield file.relative_to(root), ast.parse(file.read_bytes())
            except (SyntaxError, ValueError):
                continue


def _imports(tree: ast.Module) -> set[str]:
    nodes = list(ast.walk(tree))
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def _makes_layers_of_rows(node: ast.FunctionDef) -> bool:
    """Does it loop over rows of four, look names up, and build a Sequential?"""
    loops = [n for n in ast.walk(node) if isinstance(n, (ast.For, ast.comprehension))]
    rows = any(_unpacks(loop.target, ROW) for loop in loops)
    return rows and bool(LOOKUPS & {*_called_names(node)}) and "Sequential" in _called_names(node)


def _unpacks(target: ast.expr, count: int) -> bool:
    if not isinstance(target, ast.Tuple):
        return False
    return len(target.elts) >= count or any(_unpacks(item, count) for item in target.elts)


def _sort_class(node: ast.ClassDef, file: Path, found: Survey) -> None:
    init = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
    if init is None:
        return
    calls = _called_names(init)
    parts = {
        target.attr
        for n in ast.walk(init)
        for target in (n.targets if isinstance(n, ast.Assign) else ())
        if isinstance(target, ast.Attribute)
    }
    calls_layers = any(call[:1].isupper() for call in calls)
    one_conv = calls.count("Conv2d") == 1 and any("BatchNorm" in call for call in calls)
    parameters = [argument.arg for argument in init.args.args[1:]]
    if one_conv and len(parameters) >= 3 and len(parts) <= 5:
        found.convolutions.append(_class(node, file))
    elif parameters[:1] and parameters[0] in CLASSES and parameters[-1] != parameters[0]:
        found.heads.append(_class(node, file))
    elif len(parameters) <= 1 and {"cat", "concat"} & {*_called_names(node)} and not calls_layers:
        found.joins.append(_class(node, file))


def _called_names(node: ast.AST) -> list[str]:
    functions = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    return [f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in functions]


def _is_training_script(file: Path, tree: ast.Module) -> bool:
    text = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    return "__main__" in text and "train" in file.stem and not file.stem.startswith("test")


def _function(node: ast.FunctionDef, file: Path) -> Defined:
    return Defined(node.name, file, node.lineno, tuple(a.arg for a in node.args.args))


def _class(node: ast.ClassDef, file: Path) -> Defined:
    init = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
    parameters = tuple(a.arg for a in init.args.args[1:]) if init else ()
    return Defined(node.name, file, node.lineno, parameters)
