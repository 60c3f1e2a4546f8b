"""Convolutions that give the same numbers in torch and in TFLite.

All take (N, C, H, W) and pad as TensorFlow's 'same' does, so that the output is
``ceil(size / stride)`` at every kernel size, stride and image size.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from synet.layers.binding import Binding, activates
from synet.layers.choices import ChosenActivation, chosen, new_activation
from synet.layers.named import Named
from synet.layers.same import (
    conv2d_same,
    conv2d_widened,
    conv_transpose2d_same,
    conv_transpose2d_upsampled,
    fused_conv2d_same,
    pair,
    stuffing_offset,
    widened,
)
from synet.system.errors import UnfitError


class Conv2d(nn.Conv2d):
    """Convolution with 'same' padding.

    Parameters
    ----------
    in_channels, out_channels
        Channels of input and output.
    kernel_size, stride, dilation
        One number, or (vertical, horizontal).
    bias, groups
        As in ``torch.nn.Conv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
        bias: bool = True,
        groups: int = 1,
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        # The attribute is for those who read it (fusing, reparametrising): forward does not.
        padding = tuple(
            d * (k - 1) // 2 for k, d in zip(pair(kernel_size), pair(dilation), strict=True)
        )
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        )

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv2d_same(input, weight, bias, self.stride, self.dilation, self.groups)


class DepthwiseConv2d(Conv2d):
    """One filter a channel, 'same' padding: (N, C, H, W) to (N, C, ceil(H/s), ceil(W/s))."""

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__(channels, channels, kernel_size, stride, bias, channels, dilation)


class ConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution with 'same' padding: (N, C, H, W) to (N, K, H*stride, W*stride)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 2,
        stride: int | tuple[int, int] = 2,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        return conv_transpose2d_same(input, self.weight, self.bias, self.stride)


class WidenedConv2d(nn.Conv2d):
    """``nn.Conv2d`` to the last digit, exported without padding that a chip lacks.

    For networks that are trained already: `Conv2d` would shift what they see by a pixel. See
    `synet.layers.same.widened` for what it costs.
    """

    @classmethod
    def of(cls, old: nn.Conv2d, shape: tuple[int, ...], largest: int) -> WidenedConv2d | None:
        """A twin with the parameters of `old`, for images of `shape`; None where there is none.

        Its kernel may become as large as `largest`.
        """
        plain = set(old.dilation) == {1} and old.padding_mode == "zeros"
        if not plain or isinstance(old.padding, str):
            return None
        axes = zip(shape[2:], old.kernel_size, old.stride, old.padding, strict=True)
        if not all(widened(*axis, largest) for axis in axes):
            return None
        form = (old.kernel_size, old.stride, old.padding, old.dilation, old.groups)
        new = cls(old.in_channels, old.out_channels, *form, bias=old.bias is not None)
        new.weight, new.bias = old.weight, old.bias
        return new

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv2d_widened(input, weight, bias, self.stride, self.padding, self.groups)


class UpsampledConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` to the last digit, exported without TRANSPOSE_CONV.

    Only where the output is `stride` times as large as the input.
    """

    @classmethod
    def of(cls, old: nn.ConvTranspose2d) -> UpsampledConvTranspose2d | None:
        """A twin of `old` with its parameters; None where its form is another."""
        form = [old.kernel_size, old.stride, old.padding, old.output_padding]
        square = all(isinstance(v, tuple) and len(set(v)) == 1 for v in form)
        if not square or old.groups != 1 or set(old.dilation) != {1}:
            return None
        if stuffing_offset(*(v[0] for v in form)) is None:
            return None
        new = cls(old.in_channels, old.out_channels, *form, bias=old.bias is not None)
        new.weight, new.bias = old.weight, old.bias
        return new

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        stride, padding, extra = self.stride[0], self.padding[0], self.output_padding[0]
        return conv_transpose2d_upsampled(input, self.weight, self.bias, stride, padding, extra)


class Spec:
    """A zoo layer that rides into a fork's ``parse_model`` as an argument of its ``Conv``.

    The fork's own code then works out input channels, width multiple and the channels of
    later layers; `Conv` builds the real layer from what it is handed.

    Parameters
    ----------
    layer
        Class with a constructor ``layer(c1, c2, *args)``.
    args
        What stands behind the channels in the model yaml.
    repeats
        How often the layer is stacked; only the first changes channels and resolution.
    """

    def __init__(self, layer: type[nn.Module], args: tuple = (), repeats: int = 1) -> None:
        self.layer, self.args, self.repeats = layer, tuple(args), repeats

    def build(self, c1: int, c2: int) -> nn.Module:
        """The layer, or a ``nn.Sequential`` of `repeats` of them."""
        first = self.layer(c1, c2, *self.args)
        if self.repeats == 1:
            return first
        rest = self.layer.repeated if hasattr(self.layer, "repeated") else self.layer
        return nn.Sequential(first, *(rest(c2, c2, *self.args) for _ in range(self.repeats - 1)))

    def __repr__(self) -> str:  # YOLO prints the arguments of every layer
        times = f" x{self.repeats}" if self.repeats > 1 else ""
        return f"{self.layer.__name__}{self.args}{times}"


def _spec_among(args: tuple) -> Spec | None:
    return next((arg for arg in args if isinstance(arg, Spec)), None)


class _Carrier(Named):
    """The type of `Conv`: a call that is handed a `Spec` builds that instead.

    A ``__new__`` would do, too, but for CPython: a class that was rebased onto one that has it
    keeps asking for it when it is put back, and can then not be built any more.
    """

    @property
    def __signature__(cls) -> inspect.Signature:
        """That of the constructor, as inspect would see only the one of ``__call__``."""
        binding = vars(cls).get("binding")
        if binding is not None:
            return binding.signature
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=[*signature.parameters.values()][1:])

    @property
    def default_act(cls) -> nn.Module:
        """The chosen activation; ultralytics sets it for each model, which tells nothing here."""
        return new_activation()

    @default_act.setter
    def default_act(cls, value: object) -> None:
        pass

    def __call__(cls, *args: Any, **kwargs: Any) -> nn.Module:
        spec = _spec_among(args)
        return super().__call__(*args, **kwargs) if spec is None else spec.build(args[0], args[1])


class Conv(nn.Module, metaclass=_Carrier):
    """Convolution, batch norm, activation: what takes the place of every YOLO's ``Conv``.

    Parameters
    ----------
    c1, c2
        Channels of input and output.
    k, s
        Kernel size and stride, one number or (vertical, horizontal).
    p
        Padding as the fork asks for it; only what 'same' does anyway is possible, unless the
        network is built to pad alike on both sides, as torch and published weights do.
    g
        Groups.
    *rest
        Dilation and activation in the fork's order: forks up to YOLOv5 v6.2 pass the
        activation seventh, later ones the dilation. They are told apart by type.
    d
        Dilation.
    act
        False: none. Anything else, a SiLU or LeakyReLU included, becomes the activation that
        the network is built with: ReLU6, which every chip has, unless another was chosen.

    Raises
    ------
    UnfitError
        Padding that is not 'same'.
    """

    default_act = ChosenActivation()  # which layers of forks read, and `_Carrier` of the class
    pads_alike = False  # of those that were built before there was a choice

    def __init__(
        self,
        c1: int,
        c2: int,
        k: int | tuple[int, int] = 1,
        s: int | tuple[int, int] = 1,
        p: int | tuple[int, int] | None = None,
        g: int = 1,
        *rest: Any,
        d: int = 1,
        act: Any = True,
    ) -> None:
        super().__init__()
        for value in rest:
            if isinstance(value, int) and not isinstance(value, bool):
                d = value
            else:
                act = value
        k, s = pair(k), pair(s)
        self.pads_alike = chosen().pads_alike
        if self.pads_alike:
            padding = tuple((d * (n - 1) + 1) // 2 for n in k) if p is None else pair(p)
            self.conv = nn.Conv2d(c1, c2, k, s, padding, d, g, bias=False)
        elif p is None or _is_same(pair(p), k, d):
            self.conv = Conv2d(c1, c2, k, s, bias=False, groups=g, dilation=d)
        else:
            half = tuple(d * (n - 1) // 2 for n in pair(k))
            raise UnfitError(
                f"Conv(c1={c1}, c2={c2}, k={k}, p={p}): only 'same' padding runs on every chip; "
                f"leave the padding out, or use {half}"
            )
        self.bn = nn.BatchNorm2d(c2)
        self.act = new_activation() if activates(act) else nn.Identity()

    @staticmethod
    def in_place_of(old: type) -> type[Conv]:
        """What a fork gets for its own class: `Conv`, or one that is called as `old` is."""
        binding = Binding.of(old)
        return Conv if binding is None else _called_as(binding)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.act(self.bn(self.conv(x)))

    def forward_fuse(self, x: Tensor) -> Tensor:
        """After the fork has folded ``bn`` into ``conv``, which is a ``nn.Conv2d`` then."""
        y = self.conv(x) if self.pads_alike else fused_conv2d_same(self.conv, x)
        return self.act(y)

    fuseforward = forward_fuse  # its name up to YOLOv5 v5.0 and in YOLOv7


class _Caller(_Carrier):
    """The type of a class that a fork calls in its own way, and that builds `Conv`.

    What it builds is pickled, and known to other forks, as `Conv`. Only what the fork derives
    from it is a class of the fork's.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> nn.Module:
        binding = vars(cls).get("binding")
        if binding is None:
            return super().__call__(*args, **kwargs)
        spec = _spec_among(args)
        if spec is not None:
            return spec.build(*binding.channels([arg for arg in args if arg is not spec], kwargs))
        return Conv(*binding(args, kwargs))

    def __instancecheck__(cls, instance: Any) -> bool:
        known = super().__instancecheck__(instance)
        return known or "binding" in vars(cls) and isinstance(instance, Conv)


def _called_as(binding: Binding) -> type[Conv]:
    def __init__(self: Conv, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - a subclass's
        Conv.__init__(self, *binding(args, kwargs))

    names = {"binding": binding, "__init__": __init__, "__module__": __name__}
    return _Caller("Conv", (Conv,), names)


def _is_same(p: tuple[int, int], k: tuple[int, int], d: int) -> bool:
    spans = [d * (n - 1) for n in k]
    return all(n in (span // 2, (span + 1) // 2) for n, span in zip(p, spans, strict=True))
