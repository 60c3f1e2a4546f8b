"""What takes the place of a torch layer, by its type, and finding those layers in a model.

Only the exact type is matched: a subclass does something else on purpose. A
replacement is a recipe called with the old layer; it returns the new one, or None
where the old layer is safe as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from synet.errors import ChipError
from synet.layers.basic import MaxPool2d
from synet.layers.conv import Conv2d

Recipe = Callable[[nn.Module], nn.Module | None]
REPLACEMENTS: dict[type[nn.Module], Recipe] = {}


def replaces(*originals: type[nn.Module]) -> Callable[[Recipe], Recipe]:
    """Register the recipe for torch layers of these very types."""

    def register(recipe: Recipe) -> Recipe:
        for original in originals:
            if REPLACEMENTS.setdefault(original, recipe) is not recipe:
                raise ValueError(f"{original.__name__} is already replaced")
        return recipe

    return register


def replace_layers(model: nn.Module) -> list[str]:
    """Replace, in place, every layer of `model` that has a chip-safe twin.

    Returns
    -------
    Paths of the replaced layers.

    Raises
    ------
    ChipError
        A layer has no chip-safe twin in the form it has here; its path is named.
    """
    replaced: list[str] = []
    twins: dict[nn.Module, nn.Module | None] = {}
    for path, module in list(model.named_modules()):
        # not named_children(), which leaves out a layer that is there twice
        for name, child in list(module._modules.items()):
            if type(child) not in REPLACEMENTS:
                continue
            where = f"{path}.{name}" if path else name
            try:
                if child not in twins:
                    twins[child] = REPLACEMENTS[type(child)](child)
            except ChipError as error:
                raise ChipError(f"{where}: {error}") from None
            new = twins[child]
            if new is not None:
                setattr(module, name, new.train(child.training))
                replaced.append(where)
    return replaced


@replaces(
    nn.SiLU, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.Mish, nn.Hardswish, nn.Hardtanh
)
def _to_relu6(old: nn.Module) -> nn.Module:
    return nn.ReLU6(inplace=getattr(old, "inplace", False))


@replaces(nn.Conv2d)
def _to_same_padding(old: nn.Conv2d) -> nn.Module | None:
    spans = [d * (k - 1) for k, d in zip(old.kernel_size, old.dilation, strict=True)]
    symmetric = [span // 2 for span in spans]
    padding = old.padding if isinstance(old.padding, tuple) else tuple(symmetric)
    if old.padding == "valid":
        padding = (0, 0)
    same = all(p in (s // 2, (s + 1) // 2) for p, s in zip(padding, spans, strict=True))
    if not same or (any(spans) and old.padding_mode != "zeros"):
        raise ChipError(f"{old}: only 'same' padding, {tuple(symmetric)} here, runs on every chip")
    if not any(spans) or (set(old.stride) == {1} and not any(span % 2 for span in spans)):
        return None  # torch's own padding is TensorFlow's
    new = Conv2d(
        old.in_channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.bias is not None,
        old.groups,
        old.dilation,
    )
    new.load_state_dict(old.state_dict())
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
