from __future__ import annotations

import random
import subprocess
import sys

import int8_models
import pytest

from synet.system.errors import SynetError
from synet.tflite.graph import INPUT, STATE, Graph, Operator, Tensor, layer_path, read_graph


def graph_of(sizes, operators, inputs, outputs, constants=()):
    """A graph of tensors of so many bytes, and of operators as (inputs, outputs)."""
    tensors = tuple(
        Tensor(f"t{at}", (size,), "int8", size, is_constant=at in constants)
        for at, size in enumerate(sizes)
    )
    ops = tuple(Operator("ADD", f"layer.{at}", *ends) for at, ends in enumerate(operators))
    return Graph(tensors, ops, tuple(inputs), tuple(outputs))


def test_peak_of_a_residual_block_by_hand():
    # 0: image 100, 1: a 40, 2: weights, 3: b 60, 4: c 40, 5: d 10
    # image -> a -> (weights) b -> c; a + c -> d; the branch keeps a alive throughout
    graph = graph_of(
        sizes=(100, 40, 1000, 60, 40, 10),
        operators=[((0,), (1,)), ((1, 2), (3,)), ((3,), (4,)), ((1, 4), (5,))],
        inputs=[0],
        outputs=[5],
        constants={2},
    )
    assert graph.alive_bytes() == [140, 100, 140, 90]
    assert graph.peak_activation() == (140, 0)


def test_outputs_stay_until_the_end_and_inputs_only_to_their_last_reader():
    # 0 image, 1 an early output, 2 and 3 a chain after it, 4 an output that nobody reads
    graph = graph_of(
        sizes=(10, 7, 5, 3, 2),
        operators=[((0,), (1, 4)), ((0,), (2,)), ((2,), (3,))],
        inputs=[0],
        outputs=[1, 3],
    )
    assert graph.alive_bytes() == [10 + 7 + 2, 10 + 7 + 5, 7 + 5 + 3]
    assert graph.peak_activation() == (22, 1)


def test_variables_are_always_there_and_no_layer_writes_them():
    """Neither the model's input nor written by an operation: 2, which the second one reads."""
    graph = graph_of([10, 20, 5, 40], [((0,), (1,)), ((1, 2), (3,))], (0,), (3,))
    assert graph.alive_bytes() == [10 + 20 + 5, 20 + 5 + 40]
    assert graph.lifetimes()[2] == (0, 1)
    assert {held.layer for held in graph.alive(0)} == {INPUT, "layer.0", STATE}


def test_what_is_written_in_which_order():
    graph = graph_of(
        sizes=(10, 7, 5, 3, 2),
        operators=[((0, 1), (2, 4)), ((2, 1), (3,))],
        inputs=[0],
        outputs=[3],
        constants={1},
    )
    assert graph.written() == (
        (0, "input", "INPUT"),
        (2, "layer.0", "ADD"),
        (4, "layer.0", "ADD"),
        (3, "layer.1", "ADD"),
    )
    assert [graph.activations(op.inputs) for op in graph.operators] == [(0,), (2,)]


def alive_by_definition(graph, step):
    """Every tensor asked for itself: is it there, and is it still wanted?"""
    total = 0
    for number, tensor in enumerate(graph.tensors):
        writers = [at for at, op in enumerate(graph.operators) if number in op.outputs]
        readers = [at for at, op in enumerate(graph.operators) if number in op.inputs]
        born = writers[0] if writers else 0
        dies = max([born, *readers])
        if number in graph.outputs:
            dies = len(graph.operators)
        touched = bool(writers or readers or number in graph.inputs)
        if touched and not tensor.is_constant and born <= step <= dies:
            total += tensor.bytes
    return total


@pytest.mark.parametrize("seed", range(20))
def test_peak_equals_brute_force_on_a_random_graph(seed):
    rng = random.Random(seed)
    inputs, constants = [0, 1], {2, 3}
    operators, known = [], [0, 1, 2, 3]
    for _ in range(rng.randint(1, 25)):
        new = [len(known) + at for at in range(rng.randint(1, 2))]
        operators.append((tuple(rng.sample(known, rng.randint(1, 3))), tuple(new)))
        known += new
    graph = graph_of(
        sizes=[rng.randint(1, 1000) for _ in known],
        operators=operators,
        inputs=inputs,
        outputs=rng.sample(known[4:], min(2, len(known) - 4)),
        constants=constants,
    )
    expected = [alive_by_definition(graph, step) for step in range(len(operators))]
    assert graph.alive_bytes() == expected
    assert graph.peak_activation() == (max(expected), expected.index(max(expected)))


def test_a_converted_model_operation_by_operation():
    graph = read_graph(int8_models.good())
    assert [(op.name, op.layer) for op in graph.operators] == [
        ("CONV_2D", "model.0.conv"),
        ("DEPTHWISE_CONV_2D", "model.1.dw.conv"),
        ("CONV_2D", "model.1.pw.conv"),
        ("ADD", "model.1.add"),
        ("CONV_2D", "model.2.conv"),
        ("MAX_POOL_2D", "model.3.pool"),
        ("RESIZE_NEAREST_NEIGHBOR", "model.4.resize"),
        ("CONCATENATION", "model.5.cat"),
        ("CONV_2D", "model.6.boxes"),
        ("RESHAPE", "boxes (after model.6.boxes)"),
        ("CONV_2D", "model.6.scores"),
        ("LOGISTIC", "scores (after model.6.scores)"),
    ]
    stem, depthwise, *_ = graph.operators
    assert stem.options == {
        "kernel": (3, 3),
        "stride": (2, 2),
        "dilation": (1, 1),
        "padding": "SAME",
        "activation": "RELU6",
    }
    assert graph.operators[5].options["kernel"] == (3, 3)
    assert graph.tensors[stem.weights].shape == (8, 3, 3, 1)
    assert graph.tensors[stem.bias].dtype == "int32"
    image = graph.tensors[graph.inputs[0]]
    assert (image.shape, image.dtype, image.bytes) == ((1, 48, 64, 1), "int8", 48 * 64)
    assert image.scale == pytest.approx((1 / 255,), rel=1e-2) and image.zero_point == (-128,)
    assert depthwise.macs == 24 * 32 * 8 * 3 * 3
    # image, stem; stem, dw; stem, dw, pw; stem, pw, add; add, down; ...
    assert graph.alive_bytes()[:5] == [3072 + 6144, 2 * 6144, 3 * 6144, 3 * 6144, 6144 + 3072]


def test_macs_and_weights_by_hand():
    graph = read_graph(int8_models.good())
    convolutions = {op.layer: op.macs for op in graph.operators if op.macs}
    assert convolutions == {
        "model.0.conv": 24 * 32 * 8 * 3 * 3 * 1,
        "model.1.dw.conv": 24 * 32 * 8 * 3 * 3,
        "model.1.pw.conv": 24 * 32 * 8 * 8,
        "model.2.conv": 12 * 16 * 16 * 5 * 5 * 8,
        "model.6.boxes": 24 * 32 * 4 * 24,
        "model.6.scores": 24 * 32 * 2 * 24,
    }
    assert graph.macs == sum(convolutions.values())
    down = next(op for op in graph.operators if op.layer == "model.2.conv")
    assert down.weight_bytes == 16 * 5 * 5 * 8 + 4 * 16

    others = {op.name: op.macs for op in read_graph(int8_models.bad()).operators}
    assert others["TRANSPOSE_CONV"] == 10 * 14 * 8 * 4 * 3 * 3
    assert others["FULLY_CONNECTED"] == 1120 * 3


def test_a_shared_buffer_counts_once_and_metadata_never():
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    before = read_graph(int8_models.good())
    model = schema.ModelT.InitFromPackedBuf(int8_models.good(), 0)
    used = {model.subgraphs[0].tensors[t].buffer for op in before.operators for t in op.inputs}
    sizes = [0 if b.data is None else len(b.data) for b in model.buffers]
    assert before.weight_bytes == sum(sizes[at] for at in used) < sum(sizes)

    tensors = model.subgraphs[0].tensors
    stem, down = (before.operators[at].weights for at in (0, 4))
    saved = sizes[tensors[down].buffer]
    tensors[down].buffer = tensors[stem].buffer
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    after = read_graph(bytes(builder.Output()))
    assert after.weight_bytes == before.weight_bytes - saved
    assert after.weight_bytes == sum(op.weight_bytes for op in after.operators)


@pytest.mark.parametrize(
    ("file", "operators", "mmac"),
    [
        ("person_detection_480x640.tflite", 117, 2041.0),
        ("person_pose_detection_256x480.tflite", 151, 1009.6),
    ],
)
def test_macs_of_the_vendors_models_agree_with_its_compiler(shared, file, operators, mmac):
    graph = read_graph(shared / "models" / file)
    assert len(graph.operators) == operators
    # the compiler adds a few for its softmax
    assert graph.macs / 1e6 == pytest.approx(mmac, rel=2e-3) and graph.macs / 1e6 < mmac


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("functional_1/model.9.cv1.conv_1/convolution;functional_1/x", "model.9.cv1.conv"),
        # an activation or batch norm that was fused does not name the convolution
        ("f_1/model.0.act_1/Relu6;f_1/model.0.conv_1/convolution", "model.0.conv"),
        (
            "f/model.1.act_1/Relu6;f/model.1.bn_1/batchnorm/mul_1;f/model.1.conv_1/depthwise;1",
            "model.1.conv",
        ),
        ("f/model.1.act_1/Relu6;f/model.1.add_1/Add", "model.1.add"),
        ("functional_1/model.4.up_1/Repeat/Tile", "model.4.up"),
        ("functional_1/conv2d_54_1/BiasAdd;functional_1/conv2d_54_1/convolution;", "conv2d_54"),
        ("functional_1/strided_slice_13", "strided_slice_13"),
        ("model.3.conv/convolution", "model.3.conv"),
        ("conv", "conv"),
        ("StatefulPartitionedCall_1:0", ""),
        ("PartitionedCall:1", ""),
        ("Identity", ""),
        ("", ""),
        (";", ""),
    ],
)
def test_layer_path(name, path):
    assert layer_path(name) == path


def test_not_a_tflite_file_is_one_line(tmp_path):
    missing = tmp_path / "missing.tflite"
    text = tmp_path / "readme.tflite"
    text.write_text("these are not the bytes you are looking for")
    for path in (missing, text, tmp_path):
        with pytest.raises(SynetError) as error:
            read_graph(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_damage_anywhere_is_a_synet_error():
    content = int8_models.good()
    rng = random.Random(0)
    for length in (8, 40, 400, len(content) // 2):
        with pytest.raises(SynetError, match="damaged"):
            read_graph(content[:length])
    for _ in range(100):
        hurt = bytearray(content)
        for _ in range(10):
            hurt[rng.randrange(8, len(hurt))] = rng.randrange(256)
        try:
            read_graph(bytes(hurt))  # the damage may have hit a weight, which is no matter
        except SynetError as error:
            assert "\n" not in str(error)


def test_a_window_that_is_none():
    """What every other module takes for granted of a convolution."""
    from ai_edge_litert import schema_py_generated as schema
    from small_tflite import packed, unpacked

    def changed(change):
        model = unpacked(int8_models.good())
        graph = model.subgraphs[0]
        change(graph.operators[0], graph.tensors[graph.operators[0].inputs[1]], graph)
        return packed(model)

    def stride(operator, weights, graph):
        operator.builtinOptions.strideH = 0

    def options(operator, weights, graph):
        operator.builtinOptionsType, operator.builtinOptions = 0, None

    def others(operator, weights, graph):
        operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        operator.builtinOptions = schema.SoftmaxOptionsT()

    def rank(operator, weights, graph):
        weights.shape, weights.quantization = [], None

    def image(operator, weights, graph):
        graph.tensors[operator.outputs[0]].shape = [1]

    assert read_graph(changed(lambda *_: None)) == read_graph(int8_models.good())
    for change in (stride, options, others, rank):
        with pytest.raises(SynetError, match="is damaged.*CONV_2D without a window"):
            read_graph(changed(change))
    with pytest.raises(SynetError, match="is damaged.*CONV_2D that makes no image"):
        read_graph(changed(image))


def test_reading_a_graph_loads_no_framework(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(int8_models.good())
    code = (
        "import sys; from synet.tflite.graph import read_graph; read_graph(sys.argv[1]);"
        "sys.exit(bool({'tensorflow', 'keras', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0
