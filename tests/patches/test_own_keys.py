"""A key of a fork's own is taken from its yamls, or said to be missing; never a bare KeyError."""

from __future__ import annotations

import copy
import pickle

import careless_fork
import pytest
import yaml
from careless_fork import DEFINITION, ROW

from synet.custom_patches import patch_custom, unpatch
from synet.patches.own_keys import ModelDefinition
from synet.system.errors import SynetError


@pytest.fixture
def fork(tmp_path):
    """Makes a patched fork whose builder runs a statement, and builds a model with it."""

    def make(reads, made="pass", **yamls):
        name = f"own_keys_{abs(hash((tmp_path, reads)))}"
        root = careless_fork.write(tmp_path, name, tmp_path / "canary", reads, made)
        for stem, more in yamls.items():
            (root / f"{stem}.yaml").write_text(DEFINITION.format(row=ROW) + more)
        (root / "data.yaml").write_text("nkpt: 99\n")  # no model's
        unpatch()
        patch_custom("katana", roots=[root])
        (tmp_path / "zoo.yaml").write_text(DEFINITION.format(row=ROW))
        module = careless_fork.load(tmp_path, name)
        return lambda: module.Model(str(tmp_path / "zoo.yaml"), ch=1)

    yield make
    unpatch()


def test_a_key_on_which_the_forks_yamls_agree(fork, caplog):
    build = fork("Model.seen = d['nkpt']", a="nkpt: 17\n", b="nkpt: 17\n", c="")
    model = build()
    assert type(model).seen == 17
    assert "zoo.yaml has no nkpt, and is built with 17 as in " in caplog.text
    assert "nkpt" not in model.yaml  # the checkpoint's is as it was written
    assert type(model.yaml) is dict


def test_what_a_definition_has_stays(fork):
    reads = "Model.seen = d['nc'], d.get('nkpt'), d.get('nkpt', 3), 'nkpt' in d, type({**d})"
    model = fork(reads, a="nkpt: 17\n")()
    assert type(model).seen == (2, None, 3, False, dict)


@pytest.mark.parametrize(
    ("yamls", "hint"),
    [
        ({}, "write nkpt: VALUE"),
        (
            {"a": "nkpt: 17\n", "b": "nkpt: 5\n"},
            "write nkpt: 17 as in .*a.yaml or nkpt: 5 as in .*",
        ),
    ],
)
def test_a_key_on_which_nothing_agrees(fork, yamls, hint):
    build = fork("Model.seen = d['nkpt']", **yamls)
    with pytest.raises(
        SynetError, match=rf"zoo.yaml: no 'nkpt', which .*yolo.py:\d+ reads; {hint}"
    ) as e:
        build()
    assert "\n" not in str(e.value)
    assert isinstance(e.value, KeyError)


def test_a_fork_that_expects_a_key_error_gets_one(fork):
    reads = "\n    ".join(
        ["try:", "    Model.seen = d['nkpt']", "except KeyError:", "    Model.seen = 0"]
    )
    assert type(fork(reads)()).seen == 0


def test_no_other_model_lends_what_is_a_models_own(fork, tmp_path):
    build = fork("pass", a="")
    file = tmp_path / "zoo.yaml"
    file.write_text(file.read_text().replace("nc: 2\n", ""))
    with pytest.raises(SynetError, match="no 'nc', which .* reads; write nc: VALUE"):
        build()


def test_a_key_that_the_constructor_reads(fork):
    build = fork("pass", made="self.nkpt = self.yaml['nkpt']", a="nkpt: 17\n")
    with pytest.raises(
        SynetError, match=r"zoo.yaml: no 'nkpt', which .*yolo.py:\d+ reads; write nkpt: 17"
    ):
        build()


def test_a_key_error_about_something_else_stays(fork):
    with pytest.raises(KeyError) as error:
        fork("pass", made="self.nkpt = {}['nc']")()
    assert not isinstance(error.value, SynetError)


def test_a_definition_is_copied_as_it_is_and_pickled_as_a_dictionary():
    definition = ModelDefinition({"nc": 2, "head": [[1]]}, None, "a.yaml")
    copied = copy.deepcopy(definition)
    assert type(copied) is ModelDefinition
    assert copied == definition
    assert copied["head"] is not definition["head"]
    assert type(pickle.loads(pickle.dumps(definition))) is dict
    assert yaml.safe_load(yaml.safe_dump(dict(definition))) == definition
