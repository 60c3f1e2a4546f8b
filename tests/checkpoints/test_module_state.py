"""What a pickle may say that a module holds."""

from __future__ import annotations

import pytest
from torch import nn

from synet.checkpoints.module_state import is_module_state


def test_the_state_of_a_module_is_one():
    assert is_module_state(nn.Linear, vars(nn.Linear(1, 1)))


@pytest.mark.parametrize("hooks", ["", {}, [], None, 0])
@pytest.mark.parametrize("name", ["_forward_hooks", "_forward_hooks_with_kwargs"])
def test_hooks_of_another_kind_are_none_even_where_there_are_none(name, hooks):
    """Torch adds hooks to what is there, and points to it weakly."""
    assert not is_module_state(nn.Linear, {**vars(nn.Linear(1, 1)), name: hooks})
