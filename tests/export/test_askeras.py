from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from keras_twin import BAR, Call, draw, export, to_keras
from torch import nn
from torch.nn.modules import module as torch_module

import synet
from synet.base import askeras
from synet.export import exporting
from synet.export.tensorflow import import_keras
from synet.system.errors import ExportError


def network(channels=4):
    torch.manual_seed(channels)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, 2, 1), nn.ReLU6(), nn.Conv2d(channels, 2, 1)
    ).eval()


def image(*shape, batch=1):
    return import_keras().Input(shape or (7, 9, 1), batch_size=batch)


def state():
    """All that a context could leave behind in torch."""
    hooks = [
        value for name, value in vars(torch_module).items() if name.startswith("_global_forward")
    ]
    return [list(value) for value in hooks if hasattr(value, "__len__")]


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    before = state()
    assert len(before) >= 2
    yield
    assert state() == before
    assert not exporting()
    model, x = network(), draw(1, 1, 7, 9)
    assert isinstance(model(x), torch.Tensor)


def test_a_keras_tensor_goes_in_and_one_comes_out():
    keras = import_keras()
    inp = image()
    with askeras(imgsz=(7, 9)):
        assert exporting()
        out = network()(inp)
    assert isinstance(out, keras.KerasTensor)
    assert out.shape == (1, 4, 5, 2)


def test_its_other_names():
    assert synet.askeras is askeras and synet.as_keras is askeras


def test_torch_tensors_are_none_of_its_business():
    model, x = network(), draw(1, 1, 7, 9)
    expected = model(x)
    with askeras():
        assert torch.equal(model(x), expected)
        assert torch.equal(F.relu(x), x.clamp(min=0))


def test_lists_and_dictionaries_of_tensors():
    function = Call(lambda pair: {"sum": pair[0] + pair[1], "both": [pair[0], (pair[1],)]}).eval()
    inputs = [image(), image()]
    with askeras():
        out = function(inputs)
    assert out["sum"].shape == (1, 7, 9, 1)
    assert out["both"][0] is inputs[0] and out["both"][1][0] is inputs[1]


def test_other_ranks_keep_torchs_order():
    with askeras():
        out = Call(lambda x: x.transpose(1, 2)).eval()(image(5, 6))
    assert out.shape == (1, 6, 5)


def test_two_models_one_after_the_other_in_one_context():
    keras, inp = import_keras(), image()
    first, second = network(3), network(5)
    with askeras(imgsz=(7, 9)):
        models = [keras.Model(inp, model(inp)) for model in (first, second)]
    x = draw(1, 1, 7, 9)
    for model, keras_model in zip((first, second), models, strict=True):
        found = np.asarray(keras_model(to_keras(x)))
        np.testing.assert_allclose(found, to_keras(model(x)), atol=BAR)


def test_any_size_without_imgsz():
    model = network()
    with askeras():
        assert model(image(5, 5, 1)).shape == (1, 3, 3, 2)
        assert model(image(8, 6, 1)).shape == (1, 4, 3, 2)


# --- mistakes -----------------------------------------------------------------------------


def test_an_exception_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError), askeras(imgsz=(7, 9)):
        Call(lambda x: 1 / 0).eval()(image())


def test_an_exception_deep_inside_leaves_nothing_behind():
    deep = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 1), Call(lambda x: x.cumsum(1)))).eval()
    with pytest.raises(ExportError, match=r"0\.1 \(Call\)"), askeras():
        deep(image())


def test_a_model_that_recovers_from_an_exception_goes_on():
    def fallback(x):
        try:
            return nn.LogSoftmax(1).eval()(x)
        except ExportError:
            return x.softmax(1)

    model = nn.Sequential(nn.Conv2d(1, 2, 1), Call(fallback), nn.Sigmoid()).eval()
    assert export(model, draw(1, 1, 7, 9)).layers[-1].name == "Sequential.2"


def test_a_context_within_a_context():
    model = network()
    with askeras(imgsz=(7, 9)):
        with pytest.raises(ExportError, match="askeras.. within askeras"), askeras():
            pass
        assert exporting()
        assert model(image()).shape == (1, 4, 5, 2)


def test_a_context_can_be_entered_again():
    context = askeras(imgsz=(7, 9))
    for _ in range(2):
        with context:
            assert network()(image()).shape == (1, 4, 5, 2)


@pytest.mark.filterwarnings("error")
def test_a_module_in_training_mode_is_exported_as_inference_and_trains_on():
    model = network().train()
    model[0].eval()  # frozen on purpose: it must stay so
    before = {name: module.training for name, module in model.named_modules()}
    inp = image()
    with askeras():
        exported = import_keras().Model(inp, model(inp))
        assert {name: module.training for name, module in model.named_modules()} == before
    x = torch.rand(1, inp.shape[3], *inp.shape[1:3])
    with torch.no_grad():
        expected = model.eval()(x)
    found = np.asarray(exported(x.permute(0, 2, 3, 1).numpy()))
    assert np.abs(found - expected.permute(0, 2, 3, 1).numpy()).max() <= 1e-5


def test_training_mode_is_back_after_an_error():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveMaxPool2d(1)).train()
    with pytest.raises(ExportError), askeras():
        model(image())
    assert all(module.training for module in model.modules())


def test_another_size():
    with pytest.raises(ExportError, match=r"the Keras input is 7x9, imgsz is \(7, 8\)$"):
        with askeras(imgsz=(7, 8)):
            network()(image())


def test_width_and_height_mixed_up():
    message = r"the Keras input is 7x9, imgsz is \(9, 7\) \(imgsz is height, width\)$"
    with pytest.raises(ExportError, match=message), askeras(imgsz=(9, 7)):
        network()(image())


def test_an_open_batch_size():
    message = r"the Keras input has shape \(None, 7, 9, 1\): give every size, e.g. keras.Input"
    with pytest.raises(ExportError, match=message), askeras():
        network()(image(batch=None))


def test_an_open_width():
    with pytest.raises(ExportError, match=r"has shape \(1, 7, None, 1\)"), askeras():
        network()(image(7, None, 1))


# --- threads ------------------------------------------------------------------------------


def test_another_thread_does_not_see_the_context():
    model, x = network(), draw(1, 1, 7, 9)
    expected = model(x)
    seen = []

    def other():
        seen.append(exporting())
        seen.append(torch.equal(model.train()(x), expected))  # training mode is no error here

    with askeras():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert exporting()
    assert seen == [False, True]


def test_two_threads_export_at_once():
    import_keras()
    both_inside = threading.Barrier(2, timeout=20)
    both_done = threading.Barrier(2, timeout=20)

    class Wait(nn.Module):
        def __init__(self, barrier):
            super().__init__()
            self.barrier = barrier

        def forward(self, x):
            if exporting():
                self.barrier.wait()
            return x

    def work(channels, size):
        model = nn.Sequential(Wait(both_inside), *network(channels), Wait(both_done)).eval()
        x = draw(1, 1, *size)
        keras_model = export(model, x, imgsz=size)
        return np.abs(np.asarray(keras_model(to_keras(x))) - to_keras(model(x))).max()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, *job) for job in ((3, (7, 9)), (5, (8, 6)))]
        assert max(future.result() for future in futures) <= BAR
