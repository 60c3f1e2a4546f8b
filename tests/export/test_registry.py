"""Every torch function with a Keras twin, called in each of its names, against torch itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from keras_twin import BAR, Call, assert_same, draw, export, layers, to_keras
from torch import nn
from torch_calls import (
    BIAS,
    CALLS,
    COLUMN,
    KERNEL,
    ONE_BY_ONE,
    OTHER,
    TURNED,
    Calling,
    label,
    short,
)

from synet.base import askeras
from synet.export import lowerings  # noqa: F401 - lowerings fill the table
from synet.export import registry as table
from synet.export.tensorflow import import_keras
from synet.system.errors import ExportError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch deprecates some


@pytest.mark.parametrize("function", list(table.TABLE), ids=label)
def test_a_function_in_every_form_gives_torchs_numbers(function):
    name = short(function)
    assert name in CALLS, f"no test calls {label(function)}"
    for args, kwargs in CALLS[name]:
        module = Calling(function, args, kwargs)
        try:
            assert_same(module, *module.inputs)
        except Exception as error:
            raise AssertionError(f"{label(function)} with {args} {kwargs}: {error}") from error


def test_every_lowering_is_reached_by_the_calls_above(monkeypatch):
    seen = set()

    class Seen(dict):
        def get(self, key, default=None):
            seen.add(key)
            return super().get(key, default)

    monkeypatch.setattr(table, "TABLE", Seen(table.TABLE))
    for function in list(table.TABLE):
        module = Calling(function, *CALLS[short(function)][0])
        export(module.eval(), *module.inputs)
    reached = {id(table.TABLE[function]) for function in seen if function in table.TABLE}
    assert {label(f) for f, found in table.TABLE.items() if id(found) not in reached} == set()


@pytest.mark.parametrize("name", sorted(ONE_BY_ONE))
def test_sizes_and_dimensions_one_by_one(name):
    module = Calling(getattr(torch.Tensor, name), *ONE_BY_ONE[name])
    assert_same(module, *module.inputs)


@pytest.mark.parametrize(
    "function",
    {
        "+": lambda x: COLUMN + x,
        "-": lambda x: COLUMN - x,
        "*": lambda x: COLUMN * x,
        "/": lambda x: COLUMN / (x + 5),
        "torch.sub": lambda x: torch.sub(OTHER, x),
        "torch.maximum": lambda x: torch.maximum(OTHER, x),
        "torch.matmul": lambda x: torch.matmul(draw(5, 7), x),
        "1 /": lambda x: 1 / (x + 5),
        "1 -": lambda x: 1 - x,
        "negative": lambda x: -x,
        "@": lambda x: x @ draw(9, 2),
        "**": lambda x: x**2,
    }.items(),
    ids=lambda item: item[0],
)
def test_operators_with_a_constant_on_either_side(function):
    assert_same(Call(function[1]), draw(1, 4, 7, 9))


def test_the_table_holds_functions_only():
    assert not [key for key in table.TABLE if not callable(key)]


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.LeakyReLU(0.1), nn.Hardswish(), nn.Hardsigmoid()),
        *(nn.Hardtanh(), nn.Sigmoid(), nn.Mish(), nn.GELU(), nn.ELU(), nn.Softplus(), nn.Tanh()),
        *(nn.Softmax(1), nn.Dropout(), nn.Identity(), nn.Flatten(), nn.PixelShuffle(2)),
        *(
            nn.MaxPool2d(3, 2, 1),
            nn.AvgPool2d(2),
            nn.AdaptiveAvgPool2d(1),
            nn.ZeroPad2d((1, 2, 0, 3)),
        ),
        *(
            nn.Upsample(scale_factor=2),
            nn.UpsamplingNearest2d(scale_factor=2),
            nn.ReflectionPad2d(2),
        ),
        *(nn.ReLU(inplace=True), nn.SiLU(inplace=True), nn.Hardswish(inplace=True)),
    ],
    ids=repr,
)
def test_torchs_own_layers(layer):
    for size in ((7, 9), (6, 8)):
        assert_same(layer, draw(1, 4, *size))


# --- functions that change their argument --------------------------------------------------


def _then_the_argument(change):
    """What `change` returns, and what it has left in its argument."""

    def function(x):
        x = x + 0  # torch's own tensor must not change
        y = change(x)
        return y, x

    return Call(function)


@pytest.mark.parametrize(
    "change",
    {
        "relu_": lambda x: x.relu_(),
        "sigmoid_": lambda x: x.sigmoid_(),
        "add_": lambda x: x.add_(1.5),
        "mul_": lambda x: x.mul_(draw(4, 1, 1)),
        "clamp_": lambda x: x.clamp_(-1, 2),
        "torch.relu_": torch.relu_,
        "F.relu": lambda x: F.relu(x, inplace=True),
        "F.silu": lambda x: F.silu(x, inplace=True),
        "F.hardtanh": lambda x: F.hardtanh(x, inplace=True),
        "F.elu": lambda x: F.elu(x, inplace=True),
    }.items(),
    ids=lambda item: item[0],
)
def test_in_place_functions_change_their_argument_too(change):
    assert_same(_then_the_argument(change[1]), draw(1, 4, 7, 9))


def test_in_place_functions_change_what_is_padded():
    def function(x):
        y = F.pad(x, (1, 1, 1, 1), value=0)
        y.sigmoid_()
        return y

    assert_same(Call(function), draw(1, 4, 7, 9))


def test_a_clone_does_not_change_with_the_original():
    assert_same(_then_the_argument(lambda x: x.clone().relu_()), draw(1, 4, 7, 9))
    assert_same(_then_the_argument(lambda x: torch.clone(x).add_(1)), draw(1, 4, 7, 9))


@pytest.mark.parametrize("sign", ["+=", "-=", "*=", "/="])
def test_augmented_assignment_reaches_every_name_of_the_tensor(sign):
    space = {}
    exec(f"def change(x):\n    y = x\n    y {sign} 2.5\n    return y", space)
    assert_same(_then_the_argument(space["change"]), draw(1, 4, 7, 9))


# --- padding that waits for a convolution ---------------------------------------------------


def padded(pad, kernel, stride, groups=1, between=lambda x: x):
    weight = draw(4, 4 // groups, kernel, kernel, low=-1, high=1)
    return Call(lambda x: F.conv2d(between(F.pad(x, pad)), weight, None, stride, 0, 1, groups))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
def test_padding_that_is_same_disappears_in_the_convolution(size, groups):
    after = (0, 1) if size[0] % 2 == 0 else (1, 1)
    model = assert_same(padded((*after, *after), 3, 2, groups), draw(1, 4, *size))
    (conv,) = layers(model, "DepthwiseConv2D" if groups > 1 else "Conv2D")
    assert conv.padding == "same" and not layers(model, "ZeroPadding2D")


def test_other_padding_is_kept():
    model = assert_same(padded((2, 0, 2, 0), 3, 1), draw(1, 4, 8, 10))
    (pad,), (conv,) = layers(model, "ZeroPadding2D"), layers(model, "Conv2D")
    assert pad.padding == ((2, 0), (2, 0)) and conv.padding == "valid"


def test_padding_waits_through_functions_that_do_nothing():
    model = assert_same(
        padded((0, 1, 0, 1), 3, 2, between=lambda x: x.contiguous().float()), draw(1, 4, 8, 10)
    )
    assert not layers(model, "ZeroPadding2D")


def test_padding_adds_up():
    twice = Call(lambda x: F.conv2d(F.pad(F.pad(x, (0, 1)), (0, 0, 0, 1)), KERNEL, None, 2))
    model = assert_same(twice, draw(1, 4, 8, 10))
    assert not layers(model, "ZeroPadding2D")


def test_padding_and_the_convolutions_own_add_up():
    module = Call(lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), KERNEL, BIAS, 2, 1))
    assert_same(module, draw(1, 4, 8, 10))


@pytest.mark.parametrize(
    "after",
    {
        "add": lambda x: x + 1,
        "pool": lambda x: F.max_pool2d(x, 2),
        "mean": lambda x: x.mean((2, 3)),
        "cat": lambda x: torch.cat([x, x], 1),
        "slice": lambda x: x[:, :, 1:, :-1],
        "view": lambda x: x.flatten(2),
        "output": lambda x: x,
        "transpose": lambda x: F.conv_transpose2d(x, TURNED, None, 2),
        "twice": lambda x: (x.relu(), F.conv2d(x, KERNEL)),
    }.items(),
    ids=lambda item: item[0],
)
def test_whatever_else_reads_the_zeros_finds_them(after):
    assert_same(Call(lambda x: after[1](F.pad(x, (1, 2, 0, 3)))), draw(1, 4, 8, 10))


def test_the_shape_counts_waiting_zeros():
    shapes = []
    module = Call(lambda x: shapes.append(tuple(F.pad(x, (1, 2, 0, 3)).shape)) or x)
    assert_same(module, draw(1, 4, 8, 10))
    assert shapes == [(1, 4, 11, 13)] * 2


def test_batch_norm_never_trains():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Upsample(scale_factor=2), nn.BatchNorm2d(4), nn.BatchNorm2d(4)).eval()
    x = draw(1, 4, 7, 9)
    exported = assert_same(model, x)
    for training in (None, True, False):
        found = np.asarray(exported(to_keras(x), training=training))
        np.testing.assert_allclose(found, to_keras(model(x)), atol=BAR)
    assert_same(model, x)


# --- what it costs the chip -----------------------------------------------------------------


def test_a_detection_heads_views_need_no_transpose():
    def head(x):
        n, _, h, w = x.shape
        y = x.view(n, 2, 6, h, w).permute(0, 1, 3, 4, 2).contiguous()
        return y.sigmoid().split((2, 2, 2), 4)

    assert not layers(assert_same(Call(head), draw(1, 12, 7, 9)), "Transpose")


def test_a_large_pool_is_one_same_pool():
    model = assert_same(nn.MaxPool2d(5, 1, 2), draw(1, 4, 7, 9))
    (pool,) = layers(model, "MaxPooling2D")
    assert pool.padding == "same"


def test_relu6_is_an_activation_that_fuses():
    for module in (nn.ReLU6(), nn.Hardtanh(0.0, 6.0)):
        (relu,) = layers(assert_same(module, draw(1, 4, 7, 9, low=-9, high=9)), "ReLU")
        assert relu.max_value == 6.0


@pytest.mark.parametrize(
    "function",
    {
        "shuffle": lambda x: x.view(1, 2, 4, 8, 10).transpose(1, 2).reshape(1, 8, 8, 10),
        "shuffle back": lambda x: x.view(1, 4, 2, 8, 10).transpose(1, 2).reshape(1, 8, 8, 10),
        "anchors first": lambda x: x.view(1, 2, 4, 8, 10).permute(0, 1, 3, 4, 2).reshape(1, -1, 4),
        "anchors, as they are": lambda x: x.view(1, 2, 4, 8, 10).permute(0, 1, 3, 4, 2),
        "gate": lambda x: x * x.mean((2, 3)).view(1, 8, 1, 1).expand_as(x),
        "distribution": lambda x: F.conv2d(
            x.reshape(1, 2, 4, 80).permute(0, 2, 1, 3).softmax(1), torch.ones(1, 4, 1, 1)
        ).reshape(1, 2, 80),
        "mean of channels": lambda x: x.mean(1, keepdim=True),
        "most of channels": lambda x: x.max(1, keepdim=True)[0],
        "most of image": lambda x: F.adaptive_max_pool2d(x, 1),
        "vector": lambda x: F.linear(x.mean((2, 3)), draw(3, 8)),
        "difference": lambda x: (x - x.mean((2, 3), keepdim=True)) / 3,
        "stacked": lambda x: torch.stack([x, x * 2]).sum(0),
        "part": lambda x: _with_part(x),
        "pooled after zeros": lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1),
        "border": lambda x: F.max_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, 2),
        "eight times": lambda x: F.interpolate(x, scale_factor=8),
        "groups": lambda x: F.conv2d(x, draw(6, 4, 3, 3), draw(6), 1, 1, groups=2),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_chip_of_few_operations_runs_it(function):
    from synet.chips import get_chip
    from synet.quantize import quantize
    from synet.tflite.graph import read_graph
    from synet.verdict.check import violations

    image = nn.Conv2d(1, 8, 1)
    model = assert_same(Call(lambda x: function[1](image(x))), draw(1, 1, 8, 10, low=0, high=1))
    graph = read_graph(quantize(model, number=2, progress=False))
    assert [str(violation) for violation in violations(graph, get_chip("katana"))] == []


def _with_part(x):
    x = x * 1
    x[:, :4] = x[:, :4] + 1
    return x


# --- what cannot be exported ----------------------------------------------------------------


class Sorter(nn.Module):
    def forward(self, x):
        return torch.sort(x, 1)[0]


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.stem = nn.ReLU()
        self.model = nn.Sequential(nn.Identity(), inner)

    def forward(self, x):
        return self.model(self.stem(x))


def refused(module, *shape):
    with pytest.raises(ExportError) as caught:
        export(Outer(module).eval(), draw(*(shape or (1, 4, 7, 9))))
    text = str(caught.value)
    assert "\n" not in text
    return text


def line_of(code, text):
    import inspect

    lines, start = inspect.getsourcelines(code)
    return start + next(i for i, line in enumerate(lines) if text in line)


def test_an_unknown_function_names_itself_its_module_and_its_line():
    assert refused(Sorter()) == (
        f"torch.sort has no Keras twin: model.1 (Sorter), {__file__}:"
        f"{line_of(Sorter.forward, 'sort')}"
    )


def test_an_unknown_method_too():
    text = refused(Call(lambda x: x.cumsum(1)))
    assert text.startswith("torch.Tensor.cumsum has no Keras twin: model.1 (Call), ")


def test_an_unknown_function_in_a_layer_of_torch_names_the_users_line():
    text = refused(nn.LogSoftmax(1))
    assert "log_softmax has no Keras twin: model.1 (LogSoftmax), " in text
    assert text.endswith(f"{__file__}:{line_of(Outer.forward, 'self.model')}")


@pytest.mark.parametrize(
    ("module", "said"),
    {
        "dilated pool": (nn.MaxPool2d(3, dilation=2), "max_pool2d cannot be exported like this"),
        "indices": (nn.MaxPool2d(2, return_indices=True), "max_pool2d_with_indices has no"),
        "grouped": (nn.ConvTranspose2d(4, 4, 2, groups=2), "groups=2"),
        "corners": (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            "align_corners=True",
        ),
        "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), "mode='bicubic'"),
        "pooled to 9": (nn.AdaptiveAvgPool2d(9), "9 windows over 7 pixels"),
        "circular": (nn.CircularPad2d(1), "padding mode 'circular'"),
        "nearest, shrinking": (Call(lambda x: F.interpolate(x, size=5)), "only whole factors"),
        "nearest, fraction": (nn.Upsample(scale_factor=1.5), "scale_factor=1.5 of (7, 9)"),
        "all of torch's numbers": (
            Call(lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear")),
            "scale_factor=1.3",
        ),
        "dropout": (Call(lambda x: F.dropout(x)), "training mode"),
        "mask": (Call(lambda x: x[torch.ones(1, 4, 7, 9) > 0]), "an index of type Tensor"),
        "alpha": (Call(lambda x: torch.add(x, x, alpha=2)), "alpha=2"),
        "assignment": (Call(lambda x: x.__setitem__(0, 1)), "an assignment to (0,)"),
        "size": (Call(lambda x: x.view(1, 5, -1)), "cannot view (1, 4, 7, 9) as (1, 5, -1)"),
        "branch": (Call(lambda x: x if x.mean() else -x), "a branch on a tensor's value"),
    }.values(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forms_that_have_no_twin_say_so(module, said):
    text = refused(module)
    assert said in text
    assert "model.1 (" in text and __file__ in text


def test_a_twin_is_registered_once():
    with pytest.raises(ValueError, match="already has a Keras twin"):
        table.lowers("relu")(lambda x: x)


def test_names_do_not_meet_those_of_kerass_own_operations():
    two = Call(lambda x: (x * 2 + x * 3) + (x * 4 + x * 5) + 1 + 2)
    assert_same(two, draw(1, 4, 7, 9))


def test_layers_carry_the_path_of_their_module():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Sequential(nn.ReLU6(), nn.Sigmoid()))
    names = [layer.name for layer in export(model.eval(), draw(1, 4, 7, 9)).layers]
    assert names[1:] == ["Sequential.0", "1.0", "1.1"]
    keras = import_keras()
    inp = keras.Input((7, 9, 4), batch_size=1)
    shared = nn.Conv2d(4, 4, 3, padding=1)
    with askeras():
        named = keras.Model(inp, nn.Sequential(shared, shared).eval()(inp))
    assert len({layer.name for layer in named.layers}) == 3
