"""Running a built model to find what its chip does not run, and putting in what it does.

A module is told by what it does while it runs: one that works value by value is an activation, one
that multiplies activations with each other is attention, whatever its class is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from synet.chips import Chip
from synet.layers.blocks import Mixer
from synet.layers.clip import ACTIVATIONS, clip_activations, is_clipped
from synet.layers.conv import UpsampledConvTranspose2d, WidenedConv2d
from synet.safety.activation_behaviour import activation_for
from synet.safety.recorder import Known, Problem, Recorder
from synet.safety.replace_by_type import Substitution, replace_module, same_padding_twin

# Functions that multiply activations with each other; the export knows only the first.
PRODUCTS = frozenset(
    ("matmul", "__matmul__", "bmm", "baddbmm", "einsum", "scaled_dot_product_attention")
    + ("multi_head_attention_forward", "_native_multi_head_attention")
    + ("_transformer_encoder_layer_fwd",)
)


@dataclass(frozen=True)
class Mended:
    """What `mend` has put in, what it found no help for, and what the run returned.

    `known` are the tensors of `output` as another run needs them.
    """

    substitutions: list[Substitution]
    problems: list[Problem]
    output: Any
    known: Known


def mend(
    root: nn.Module,
    run: Callable[[], Any],
    chip: Chip,
    known: Known | None = None,
    ends: bool = True,
) -> Mended:
    """Run a model again and again, each time with what stands in for what the chip lacks.

    Parameters
    ----------
    root
        Holds every module that may be replaced.
    run
        Runs it.
    known
        Values that it reads, where other runs have made them.
    ends
        Does it return what the network returns?
    """
    found: list[Substitution] = []
    with evaluating(root) as modes, torch.no_grad():
        while True:
            recorder, output = _recorded(run, chip, known, ends)
            new = _substitute(root, recorder, modes)
            if not new:
                found += _rewritten(root, recorder)
                return Mended(found, recorder.problems, output, recorder.known(output))
            found += new


def _recorded(
    run: Callable[[], Any], chip: Chip, known: Known | None, ends: bool
) -> tuple[Recorder, Any]:
    with Recorder(chip, known) as recorder:
        output = run()
    if ends:
        recorder.give(output)
    return recorder, output


def _rewritten(root: nn.Module, recorder: Recorder) -> Iterator[Substitution]:
    """What the lowerings have to say of modules that stay, and of their cost."""
    paths = {module: path for path, module in root.named_modules()}
    for note in dict.fromkeys(recorder.notes):
        module = next((each for each in reversed(note.stack) if each in paths), root)
        yield Substitution(paths[module], type(module).__name__, note.now, note.text)


def problems_of(
    root: nn.Module, run: Callable[[], Any], chip: Chip, ends: bool = True
) -> list[Problem]:
    """What a run of `root` in evaluation mode calls that the chip does not run; see `mend`."""
    with evaluating(root), torch.no_grad():
        return _recorded(run, chip, None, ends)[0].problems


def _substitute(
    root: nn.Module, recorder: Recorder, modes: dict[nn.Module, bool]
) -> list[Substitution]:
    """One round of substitutions: attention first, for what it holds goes with it."""
    paths = {module: path for path, module in root.named_modules()}
    proposed = _mixers(recorder) or [*_activations(recorder), *_twins(recorder)]
    found = []
    for old, new, why in proposed:
        if old not in paths or not replace_module(root, old, new):
            continue
        parameter = next(old.parameters(), torch.zeros(()))
        new.to(parameter.device, parameter.dtype).eval()
        modes.update(dict.fromkeys(new.modules(), modes.get(old, True)))
        found.append(Substitution(paths[old], type(old).__name__, _shown(new), why))
    if found:
        return found
    for problem in recorder.problems:
        module = problem.stack[-1] if problem.stack else None
        clips = recorder.chip.activation == "relu6" and problem.function.rstrip("_") in ACTIVATIONS
        if clips and module in paths:
            if not is_clipped(module):
                clip_activations(module)
                was = f"{problem.function}() in {type(module).__name__}"
                found.append(Substitution(paths[module], was, "ReLU6", problem.text))
    return found


Proposal = tuple[nn.Module, nn.Module, str]


def _mixers(recorder: Recorder) -> list[Proposal]:
    """A `Mixer` for each innermost module that multiplies activations and keeps an image's size."""
    found: dict[nn.Module, Proposal] = {}
    for problem in recorder.problems:
        if problem.function not in PRODUCTS:
            continue
        for module in reversed(problem.stack):
            call = recorder.calls.get(module)
            if call is not None and call.keeps_image:
                new = Mixer(call.before[1], call.after[1])
                found[module] = (module, new, problem.text)  # the product is its last operation
                break
    inner = {part for module in found for part in module.modules() if part is not module}
    return [proposal for module, proposal in found.items() if module not in inner]


def _activations(recorder: Recorder) -> list[Proposal]:
    """The chip's activation for whatever is one and has no type that we know."""
    troubles = {module: problem for problem in recorder.problems for module in problem.stack}
    found: dict[nn.Module, Proposal] = {}
    for module, call in recorder.calls.items():
        if call.before is None or call.before != call.after:
            continue
        problem = troubles.get(module)
        new = activation_for(module, call.before, problem is None, recorder.chip.activation)
        if new is not None:
            why = problem.text if problem else f"{recorder.chip.name} has {_shown(new)}"
            found[module] = (module, new, why)
    inner = {part for module in found for part in module.modules() if part is not module}
    return [proposal for module, proposal in found.items() if module not in inner]


def _twins(recorder: Recorder) -> list[Proposal]:
    """Convolutions in the operations that the chip has, of the same numbers where there are any."""
    found = {}
    for problem in recorder.problems:
        old = problem.stack[-1] if problem.stack else None
        call = recorder.calls.get(old)
        new, why = None, ""
        if call is None or call.before is None:
            continue
        if problem.operation == "TRANSPOSE_CONV" and type(old) is nn.ConvTranspose2d:
            new = UpsampledConvTranspose2d.of(old)
        elif problem.operation == "PAD" and type(old) is nn.Conv2d:
            chip = recorder.chip
            largest = chip.spelling.kernel_within(chip.ops.get("CONV_2D"))
            new = WidenedConv2d.of(old, call.before, largest)
        if problem.operation == "PAD" and new is None and isinstance(old, nn.Conv2d):
            new, why = same_padding_twin(old), problem.text
        if new is not None:
            found[old] = (old, new, why)
    return list(found.values())


def _shown(module: nn.Module) -> str:
    return type(module).__name__


@contextmanager
def evaluating(root: nn.Module) -> Iterator[dict[nn.Module, bool]]:
    """Evaluation mode for every module; what comes in must be entered with its later mode."""
    modes = {module: module.training for module in root.modules()}
    for module in modes:
        module.training = False
    try:
        yield modes
    finally:
        for module, mode in modes.items():
            module.training = mode
