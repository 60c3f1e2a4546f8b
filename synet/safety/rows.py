"""Making the rows of a YOLO safe one after the other, in place, while its yaml is being built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from synet.chips import Chip
from synet.layers.blocks import Mixer
from synet.layers.heads import head_form
from synet.layers.heads.form import HeadForm
from synet.safety.mend import Mended, evaluating, mend
from synet.safety.recorder import Known, Recorder
from synet.safety.replace_by_type import Recipe, Substitution, left_alone, replace_layers
from synet.system.errors import UnfitError

IMAGE_PX = 256  # what YOLO's own constructor runs its layers on
NOTES = ("i", "f", "type", "np")  # what ``parse_model`` writes on each row


class UnsafeRow(UnfitError):
    """Rows of a YOLO that the chip does not run and that nothing can take the place of.

    `refusals` holds each with its index and what is wrong with it, in one line; `index` is that of
    the first.
    """

    def __init__(self, refusals: Sequence[tuple[int, str]]) -> None:
        super().__init__(*(problem for _, problem in refusals))
        self.refusals = tuple(refusals)
        self.index = refusals[0][0]


def make_rows_safe(
    layers: Sequence[nn.Module],
    channels: int,
    chip: Chip,
    needed: Iterable[int] | None = None,
    pads_alike: bool = False,
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
        With the activation that the network is built with.
    needed
        Rows that the exported head reads; what they read in turn is needed too. The rest,
        such as an auxiliary branch, only helps training, and stays as it is. None: all rows
        but detection heads, which do not run here: they do not know their strides yet.
    pads_alike
        Do convolutions stay as they pad, though that is not TensorFlow's 'same'?

    Returns
    -------
    What was put in where the numbers are no longer those of the fork's own row, and what costs
    more than it seems to.

    Raises
    ------
    UnsafeRow
        Rows that cannot be saved, all of them.
    """
    run = _Rows(chip, pads_alike, torch.zeros(1, channels, IMAGE_PX, IMAGE_PX))
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

    def __init__(self, chip: Chip, pads_alike: bool, image: Tensor) -> None:
        self.chip, self.kept = chip, left_alone(chip, pads_alike)
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
            replaced = replace_layers(box, self.kept)
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
            self._keep(index, *_mend_head(form, head, maps, self.chip, self.kept, self._known))

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
        self.run = lambda x: form.export(head, x, (IMAGE_PX, IMAGE_PX))

    def forward(self, x: list[Tensor]) -> Any:
        return self.run(x)


def _mend_head(
    form: HeadForm,
    head: nn.Module,
    x: list[Tensor | None],
    chip: Chip,
    kept: Mapping[type[nn.Module], Recipe],
    known: Known,
) -> tuple[list[Substitution], Mended]:
    """Make safe what the export of a head runs, and leave alone what only its loss reads.

    The head does not know its strides yet. Of `x` there is what the export reads.
    """
    own = getattr(head, "stride", None)
    is_own = "stride" in vars(head) or "stride" in dict(head.named_buffers(recurse=False))
    head.stride = torch.tensor([IMAGE_PX / x[i].shape[2] for i in form.inputs(head)])
    box, run, recorder = nn.ModuleList([head]), _Export(form, head), Recorder(chip, known)
    try:
        with evaluating(box), torch.no_grad(), recorder:
            run(x)
        replaced = replace_layers(box, kept, recorder.calls)
        return replaced, mend(box, lambda: run(x), chip, known)
    finally:
        if is_own:
            head.stride = own
        else:
            del head.stride


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


def _sources(layer: nn.Module, index: int) -> list[int]:
    """Rows that a row reads; -1 is the image."""
    sources = [layer.f] if isinstance(layer.f, int) else list(layer.f)
    return [source if source >= 0 else max(index + source, -1) for source in sources]


def _reached(layers: Sequence[nn.Module], needed: Iterable[int] | None) -> list[int]:
    """`needed`, and the rows that those read, in order."""
    if needed is None:
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
