"""What takes the place of a torch layer, by its type, and finding those layers in a model.

Only the exact type is matched: a subclass does something else on purpose. A
replacement is a recipe called with the old layer; it returns the new one, or None
where the old layer is safe as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from torch import nn

from synet.chips import Chip
from synet.layers.basic import MaxPool2d
from synet.layers.conv import Conv2d

Recipe = Callable[[nn.Module], nn.Module | None]
REPLACEMENTS: dict[type[nn.Module], Recipe] = {}
REASONS: dict[type[nn.Module], str] = {}


@dataclass(frozen=True)
class Substitution:
    """A module that gave way to another: where, what it was, what it is, and why.

    `index` numbers the row of a YOLO, and `path` leads from there. `why` is empty where the new
    module computes the very numbers of the old one. `count` is that of modules which are
    alike, this being the first of them.
    """

    path: str
    was: str
    now: str
    why: str
    index: int | None = None
    count: int = 1

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        more = f" ({self.count} times)" if self.count > 1 else ""
        return f"{where}{self.was} is now {self.now}{more}: {self.why}"


def replaces(*originals: type[nn.Module], why: str = "") -> Callable[[Recipe], Recipe]:
    """Register the recipe for torch layers of these very types.

    `why` is for the report; empty where no number changes.
    """

    def register(recipe: Recipe) -> Recipe:
        for original in originals:
            if REPLACEMENTS.setdefault(original, recipe) is not recipe:
                raise ValueError(f"{original.__name__} is already replaced")
            REASONS[original] = why
        return recipe

    return register


def replace_layers(
    model: nn.Module,
    recipes: Mapping[type[nn.Module], Recipe] | None = None,
    among: Container[nn.Module] | None = None,
) -> list[Substitution]:
    """Replace, in place, every layer of `model` that has a chip-safe twin.

    Parameters
    ----------
    recipes
        Others than `REPLACEMENTS`, for some types.
    among
        Only these modules.

    Returns
    -------
    What was replaced, also where no number changes.
    """
    found = []
    known = REPLACEMENTS | dict(recipes or {})
    for path, old in list(model.named_modules()):
        if not path or type(old) not in known or (among is not None and old not in among):
            continue
        new = known[type(old)](old)
        if new is not None:
            new.train(old.training)
            count = replace_module(model, old, new)
            was, now = type(old).__name__, type(new).__name__
            now = f"SyNet's {now}" if now == was else now
            found.append(Substitution(path, was, now, REASONS[type(old)], count=count))
    return found


def replace_module(root: nn.Module, old: nn.Module, new: nn.Module) -> int:
    """Put `new` wherever `old` is within `root`; how often that was."""
    places = {}
    for path, module in root.named_modules(remove_duplicate=False):
        if module is old and path:
            parent, _, name = path.rpartition(".")
            places[root.get_submodule(parent), name] = None
    for parent, name in places:
        setattr(parent, name, new)
    return len(places)


ACTIVATIONS = (
    *(nn.SiLU, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.Mish, nn.Hardswish),
    *(nn.Hardtanh,),
)


def left_alone(chip: Chip, pads_alike: bool) -> dict[type[nn.Module], Recipe]:
    """Recipes that leave layers to a run of the network, which replaces what the chip lacks.

    Activations, if not by ReLU6, and convolutions of which the padding is to stay.
    """
    types = () if chip.activation == "relu6" else ACTIVATIONS
    return dict.fromkeys((*types, *([nn.Conv2d] if pads_alike else [])), lambda old: None)


@replaces(
    *ACTIVATIONS,
    why="every chip has ReLU6, and few have another",
)
def _to_relu6(old: nn.Module) -> nn.Module:
    return nn.ReLU6(inplace=getattr(old, "inplace", False))


@replaces(nn.Conv2d, why="it pads as the chip does")
def _to_same_padding(old: nn.Conv2d) -> nn.Module | None:
    spans = [d * (k - 1) for k, d in zip(old.kernel_size, old.dilation, strict=True)]
    if not any(spans) or (set(old.stride) == {1} and not any(span % 2 for span in spans)):
        return None  # torch's own padding is TensorFlow's, or another altogether
    return same_padding_twin(old)


def same_padding_twin(old: nn.Conv2d) -> Conv2d | None:
    """A `Conv2d` with the parameters of `old`; None where it has as many pixels only by luck."""
    spans = [d * (k - 1) for k, d in zip(old.kernel_size, old.dilation, strict=True)]
    if old.padding == "same":
        padded = spans
    else:
        padded = [0, 0] if old.padding == "valid" else [2 * p for p in old.padding]
    short = [span - p for span, p in zip(spans, padded, strict=True)]
    same = all(-1 <= n < s for n, s in zip(short, old.stride, strict=True))
    if not same or max(short) > 1 or (any(spans) and old.padding_mode != "zeros"):
        return None
    form = (old.kernel_size, old.stride, old.bias is not None, old.groups, old.dilation)
    new = Conv2d(old.in_channels, old.out_channels, *form)
    new.weight, new.bias = old.weight, old.bias
    return new


@replaces(nn.MaxPool2d)
def _to_small_windows(old: nn.MaxPool2d) -> nn.Module | None:
    k, s, p = (
        value if isinstance(value, int) or len(set(value)) > 1 else value[0]
        for value in (old.kernel_size, old.stride, old.padding)
    )
    plain = not old.return_indices and old.dilation in (1, (1, 1))
    if plain and s == 1 and isinstance(k, int) and k > 3 and k % 2 and p == k // 2:
        return MaxPool2d(k)
    return None
