"""Running a built model to find what its chip does not run, and putting in what it does.

A module is told by what it does while it runs: one that works value by value is an activation, one
that multiplies activations with each other is attention, whatever its class is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from synet.chips import Chip, get_chip
from synet.layers.blocks import Mixer
from synet.layers.clip import ACTIVATIONS, clip_activations, is_clipped
from synet.layers.conv import UpsampledConvTranspose2d, WidenedConv2d
from synet.safety.activation_behaviour import activation_for
from synet.safety.recorder import Known, Problem, Recorder
from synet.safety.replace_by_type import (
    Substitution,
    left_alone,
    replace_layers,
    replace_module,
    same_padding_twin,
)
from synet.system.errors import UnfitError

if TYPE_CHECKING:
    from synet.layers.heads import HeadForm

IMAGE = 256  # pixels: what YOLO's own constructor runs its layers on
NOTES = ("i", "f", "type", "np")  # what ``parse_model`` writes on each row
# Functions that multiply activations with each other; the export knows only the first.
PRODUCTS = frozenset(
    ("matmul", "__matmul__", "bmm", "baddbmm", "einsum", "scaled_dot_product_attention")
    + ("multi_head_attention_forward", "_native_multi_head_attention")
    + ("_transformer_encoder_layer_fwd",)
)


class UnsafeRow(UnfitError):
    """Rows of a YOLO that the chip does not run and that nothing can take the place of.

    `refusals` holds each with its index and what is wrong with it, in one line; `index` is that of
    the first.
    """

    def __init__(self, refusals: Sequence[tuple[int, str]]) -> None:
        super().__init__(*(problem for _, problem in refusals))
        self.refusals = tuple(refusals)
        self.index = refusals[0][0]


@dataclass(frozen=True)
class Mended:
    """What `mend` has put in, what it found no help for, and what the run returned.

    `known` are the tensors of `output` as another run needs them.
    """

    substitutions: list[Substitution]
    problems: list[Problem]
    output: Any
    known: Known


def make_rows_safe(
    layers: Sequence[nn.Module],
    channels: int,
    chip: str,
    needed: Iterable[int] | None = None,
) -> list[Substitution]:
    """Change the rows of a YOLO, in place, so that the chip runs them.

    Parameters
    ----------
    layers
        As ``parse_model`` builds them: each has ``f``, the rows that it reads, counted from
        itself where negative.
    channels
        Of the image.
    chip
        Name of the chip.
    needed
        Rows that the exported head reads; what they read in turn is needed too. The rest,
        such as an auxiliary branch, only helps training, and stays as it is. None: all rows
        but detection heads, which do not run here: they do not know their strides yet.

    Returns
    -------
    What was put in where the numbers are no longer those of the fork's own row, and what costs
    more than it seems to.

    Raises
    ------
    UnsafeRow
        Rows that cannot be saved, all of them.
    """
    # heads import the layers
    from synet.layers.heads import head_form

    run = _Rows(get_chip(chip), torch.zeros(1, channels, IMAGE, IMAGE))
    for index in _reached(layers, needed):
        sources = _sources(layers[index], index)
        if run.outputs.keys() >= set(sources):
            _take_over(layers, index, run.mend_row(index, layers[index], sources))
    for index, layer in enumerate(layers):
        form = head_form(layer) if index not in run.outputs else None
        if form is None:
            continue
        sources = _sources(layer, index)
        if run.outputs.keys() >= {sources[i] for i in form.inputs(layer)}:
            run.mend_head(index, form, layer, sources)
    if run.refusals:
        raise UnsafeRow(run.refusals)
    return run.found


class _Rows:
    """A run of a YOLO row by row, which goes on where a row is refused.

    `outputs` is what each row has returned, -1 being the image. A row that torch cannot run has
    none, and those that would read it are left out.
    """

    def __init__(self, chip: Chip, image: Tensor) -> None:
        self.chip = chip
        self.outputs: dict[int, Any] = {-1: image}
        self.found: list[Substitution] = []
        self.refusals: list[tuple[int, str]] = []
        self._known: Known = {}

    def mend_row(self, index: int, layer: nn.Module, sources: list[int]) -> nn.Module:
        """Run one, make it safe, and return what has become of it."""
        box, inputs = nn.ModuleList([layer]), [self.outputs[i] for i in sources]
        if isinstance(layer.f, int):
            (inputs,) = inputs
        with self._refusing(index):
            replaced = replace_layers(box, left_alone(self.chip))
            mended = mend(box, lambda: box[0](inputs), self.chip, self._known, ends=False)
            self.outputs[index] = mended.output
            self._known |= mended.known
            gone = tuple(s.path + "." for s in mended.substitutions if s.now == Mixer.__name__)
            self._keep(index, [s for s in replaced if not s.path.startswith(gone)], mended)
        return box[0]

    def mend_head(self, index: int, form: HeadForm, head: nn.Module, sources: list[int]) -> None:
        """Make safe what the export of a head runs."""
        with self._refusing(index):
            maps = [self.outputs.get(source) for source in sources]
            self._keep(index, *_mend_head(form, head, maps, self.chip, self._known))

    def _keep(self, index: int, replaced: list[Substitution], mended: Mended) -> None:
        self.found += _of_row(index, [*replaced, *mended.substitutions])
        told = dict.fromkeys(str(problem) for problem in mended.problems)
        self.refusals += [(index, problem) for problem in told]

    @contextmanager
    def _refusing(self, index: int) -> Iterator[None]:
        """A row that does not run is refused."""
        try:
            yield
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            self.refusals.append((index, str(error).partition("\n")[0]))


class _Export(nn.Module):
    """What a head runs in an export, as a module to be watched."""

    def __init__(self, form: HeadForm, head: nn.Module) -> None:
        super().__init__()
        self.run = lambda x: form.export(head, x, (IMAGE, IMAGE))

    def forward(self, x: list[Tensor]) -> Any:
        return self.run(x)


def _mend_head(
    form: HeadForm, head: nn.Module, x: list[Tensor | None], chip: Chip, known: Known
) -> tuple[list[Substitution], Mended]:
    """Make safe what the export of a head runs, and leave alone what only its loss reads.

    The head does not know its strides yet. Of `x` there is what the export reads.
    """
    own = getattr(head, "stride", None)
    is_own = "stride" in vars(head) | vars(head)["_buffers"]
    head.stride = torch.tensor([IMAGE / x[i].shape[2] for i in form.inputs(head)])
    box, run, recorder = nn.ModuleList([head]), _Export(form, head), Recorder(chip, known)
    try:
        with _evaluating(box), torch.no_grad(), recorder:
            run(x)
        replaced = replace_layers(box, left_alone(chip), recorder.calls)
        return replaced, mend(box, lambda: run(x), chip, known)
    finally:
        if is_own:
            head.stride = own
        else:
            del head.stride


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
    with _evaluating(root) as modes, torch.no_grad():
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
    with _evaluating(root), torch.no_grad():
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


def _of_row(index: int, substitutions: Iterable[Substitution]) -> list[Substitution]:
    """Those of one row, whose paths begin with its number in a box of one."""
    return [replace(s, path=s.path[2:], index=index) for s in _merged(substitutions)]


def _merged(substitutions: Iterable[Substitution]) -> Iterator[Substitution]:
    """One for all that are alike, and none for those that change no number."""
    alike: dict[tuple[str, str, str], list[Substitution]] = {}
    for each in substitutions:
        if each.why:
            alike.setdefault((each.was, each.now, each.why), []).append(each)
    for same in alike.values():
        yield replace(same[0], count=sum(each.count for each in same))


@contextmanager
def _evaluating(root: nn.Module) -> Iterator[dict[nn.Module, bool]]:
    """Evaluation mode for every module; what comes in must be entered with its later mode."""
    modes = {module: module.training for module in root.modules()}
    for module in modes:
        module.training = False
    try:
        yield modes
    finally:
        for module, mode in modes.items():
            module.training = mode


def _sources(layer: nn.Module, index: int) -> list[int]:
    """Rows that a row reads; -1 is the image."""
    sources = [layer.f] if isinstance(layer.f, int) else list(layer.f)
    return [source if source >= 0 else max(index + source, -1) for source in sources]


def _reached(layers: Sequence[nn.Module], needed: Iterable[int] | None) -> list[int]:
    """`needed`, and the rows that those read, in order."""
    if needed is None:
        # heads import the layers
        from synet.layers.heads import head_form

        needed = [i for i, layer in enumerate(layers) if head_form(layer) is None]
    todo, reached = list(needed), set()
    while todo:
        index = todo.pop()
        if index >= 0 and index not in reached:
            reached.add(index)
            todo += _sources(layers[index], index)
    return sorted(reached)


def _take_over(layers: Any, index: int, new: nn.Module) -> None:
    old = layers[index]
    if new is not old:
        take_notes(old, new)
        layers[index] = new


def take_notes(old: nn.Module, new: nn.Module) -> None:
    """Write on a layer what ``parse_model`` wrote on the one whose place it takes."""
    for note in NOTES:
        value = getattr(old, note, None)
        if not callable(value):  # every module has a method called ``type``
            setattr(new, note, value)
