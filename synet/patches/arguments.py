"""A fork's command line, completed before the fork parses it.

Forks look for ``--cfg`` in their own folders before any function that could be wrapped
runs, and fetch pretrained weights from the network unless told otherwise.
"""

from __future__ import annotations

from synet import zoo

IMAGE_SIZE = ("--img", "--imgsz", "--img-size")


def completed(arguments: list[str]) -> list[str]:
    """Arguments of a training script with ``--cfg NAME`` made into a file from the zoo.

    Where the model yaml states its image shape, an image size that was not given is
    its longer side; where ``--weights`` was not given, training starts from scratch, as no
    published weights fit a zoo model. Anything else stays as it was typed.
    """
    arguments = list(arguments)
    at = value_at(arguments, "--cfg")
    if at is None:
        return arguments
    option, equals, name = arguments[at].rpartition("=")
    path = zoo.find_model_path(name)
    arguments[at] = f"{option}{equals}{path}"
    shape = zoo.claims(zoo.read_definition(path), path).image_shape if _is_model(path) else None
    if shape is None:
        return arguments
    if not any(_given(arguments, option) for option in IMAGE_SIZE):
        arguments += ["--img", str(max(shape))]
    if not any(_given(arguments, option) for option in ("--weights", "--resume", "--evolve")):
        arguments += ["--weights", ""]
    return arguments


def _is_model(path: str) -> bool:
    from pathlib import Path

    return Path(path).suffix in (".yaml", ".yml") and Path(path).is_file()


def _given(arguments: list[str], option: str) -> bool:
    return any(a == option or a.startswith(f"{option}=") for a in arguments)


def value_at(arguments: list[str], option: str) -> int | None:
    """Index of the argument that holds an option's value."""
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return i
        if argument == option and i + 1 < len(arguments):
            return i + 1
    return None
