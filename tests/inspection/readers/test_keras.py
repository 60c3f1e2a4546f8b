from __future__ import annotations

import io
import json
import resource
import zipfile
from functools import partial

import h5py
import pytest
from refused_models import refused_by

from synet.export.tensorflow import import_keras
from synet.inspection.readers import keras as reader
from synet.inspection.readers.formats import ModelSource
from synet.inspection.readers.keras import kernels, layers

refused = partial(refused_by, reader)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The parts of a file of one convolution and one dense layer."""
    keras = import_keras()
    path = tmp_path_factory.mktemp("keras") / "m.keras"
    parts = keras.layers
    image = keras.Input((8, 8, 3), batch_size=1)
    found = parts.Dense(5)(parts.Flatten()(parts.Conv2D(4, 3, activation="relu")(image)))
    keras.Model(image, found).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def test_a_sound_file(sound, tmp_path):
    path = write(tmp_path / "m.keras", sound)
    found = layers(ModelSource(path))
    assert [layer.kind for layer in found] == ["InputLayer", "Conv2D", "Flatten", "Dense"]
    assert [layer.parameters for layer in found] == [0, 112, 0, 725]
    assert [layer.macs for layer in found] == [0, 36 * 108, 0, 144 * 5]
    assert [kernel.weights.shape for kernel in kernels(ModelSource(path))] == [(4, 27), (5, 144)]


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("keras.layers", "Lambda", "holds a Lambda, which is code"),
        (None, "Lambda", "holds a Lambda, which is code"),
        ("keras.layers", "TFSMLayer", "holds a TFSMLayer, which is code"),
        ("keras.layers", "StringLookup", "holds a StringLookup, which is code"),
        ("keras.utils", "get_file", r"needs keras\.utils\.get_file, which is no layer"),
        ("keras.saving", "load_model", r"needs keras\.saving\.load_model, which is no layer"),
        ("keras", "utils", r"needs keras\.utils, which is no layer"),
        ("keras.src.utils.file_utils", "get_file", "which is no layer"),
        ("os", "system", r"needs os\.system, which is no layer"),
        (None, "__lambda__", "holds a __lambda__, which is code"),
        (None, "MyLayer", r"needs keras\.MyLayer, which is no layer"),
    ],
)
def test_code_and_what_fetches_it(sound, tmp_path, module, name, message):
    config = json.loads(sound["config.json"])
    config["config"]["layers"][-1] |= {"module": module, "class_name": name}
    path = write(tmp_path / "m.keras", sound | {"config.json": json.dumps(config)})
    refused(path, f"{message}.*; nothing of it was run" if "code" in message else message)


@pytest.mark.parametrize("name", ["eval", "exec", "input", "open", "breakpoint"])
def test_a_function_of_python_is_no_activation(sound, tmp_path, name):
    config = json.loads(sound["config.json"])
    function = {"module": "builtins", "class_name": "function", "config": name}
    config["config"]["layers"][-1]["config"]["activation"] = function
    path = write(tmp_path / "m.keras", sound | {"config.json": json.dumps(config)})
    refused(path, rf"needs builtins\.{name}, which is no layer")


def test_layers_of_gigabytes_take_none(sound, tmp_path):
    text = sound["config.json"].replace(b'"units": 5', b'"units": 500000000')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(write(tmp_path / "m.keras", sound | {"config.json": text}), "which no model does")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"config.json": b"[" * 100_000}, "is not a Keras file"),
        ({"config.json": b"{}"}, "is damaged, or of another Keras"),
        ({"config.json": b" " * 10**7}, "config.json is larger than 4 MiB"),
        ({"model.weights.h5": b"no weights"}, "is damaged, or of another Keras"),
        ({"other": bytes(600 * 2**20)}, "unpacks to more than 512 MiB"),
    ],
)
def test_archives_that_hurt(sound, tmp_path, parts, message):
    refused(write(tmp_path / "m.keras", sound | parts), message)


def test_an_h5_file_by_another_name(tmp_path):
    with h5py.File(tmp_path / "m.keras", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda"})
    refused(tmp_path / "m.keras", "is not a Keras file")


def _external(file, folder):
    (folder / "raw").write_bytes(bytes(16))
    file.create_dataset("w", (4,), "f4", external=[(str(folder / "raw"), 0, 16)])


def _linked(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["w"] = [1.0]
    file["w"] = h5py.ExternalLink(str(folder / "other.h5"), "/w")


def _virtual(file, folder):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "w", (4,))
    file.create_virtual_dataset("w", layout)


def _round(file, folder):
    file["w"] = file["/"]


def _huge(file, folder):
    file.create_dataset("w", (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_external, "w lies in another file"),
        (_virtual, "w lies in another file"),
        (_linked, "w lies elsewhere"),
        (_round, "w lies elsewhere"),
        (_huge, "its weights take more than 512 MiB"),
    ],
)
def test_weights_that_lie_elsewhere_or_nowhere(sound, tmp_path, make, message):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        make(file, tmp_path)
    parts = sound | {"model.weights.h5": stream.getvalue()}
    refused(write(tmp_path / "m.keras", parts), message)
