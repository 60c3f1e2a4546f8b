"""The modules that only hold names."""

from __future__ import annotations

import pytest

import synet.base
import synet.katana
import synet.layers
import synet.saber
import synet.sabre


@pytest.mark.parametrize("face", [synet.base, synet.katana, synet.sabre, synet.saber])
def test_what_a_face_lists_it_has(face):
    assert all(callable(getattr(face, name)) for name in face.__all__)


def test_sabre_is_every_layer_under_either_spelling():
    assert {*synet.saber.__all__} == {*synet.sabre.__all__} == {*synet.layers.__all__}
    for name in synet.sabre.__all__:
        assert getattr(synet.saber, name) is getattr(synet.sabre, name)


def test_katanas_layers_are_sabres_too():
    for name in synet.katana.__all__:
        assert getattr(synet.katana, name) is getattr(synet.sabre, name)


def test_what_patches_of_users_import():
    """A `synet_patch.py` that was written when the engine was one module goes on."""
    from synet.custom_patches import patch_custom, unpatch  # noqa: F401
    from synet.patches.engine import Family, Patching, Swap  # noqa: F401
    from synet.patches.parse_model import wrap_model_init, wrap_parse_model  # noqa: F401
    from synet.patches.yolov5 import ADDITIONS

    assert isinstance(ADDITIONS, dict)
