"""What other packages keep to themselves, and SyNet uses all the same: here, and nowhere else.

None of it is promised by those who make it, so each has a test that says what broke
(`tests/system/test_borrowed.py`). The other borrowed thing is what Vela prints and writes, which
`synet.verdict.vela_report` reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.storage import TypedStorage


def restorer(map_location: Any) -> Callable[[torch.UntypedStorage, str], torch.UntypedStorage]:
    """What ``torch.load`` puts a tensor's content with where `map_location` says."""
    import torch

    return torch.serialization._get_restore_location(map_location)


def typed(storage: torch.UntypedStorage, dtype: torch.dtype) -> TypedStorage:
    """A content with a type, as checkpoints have it."""
    from torch.storage import TypedStorage

    return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def untyped(storage: TypedStorage) -> torch.UntypedStorage:
    """The content of `typed`, without the warning that its public name gives."""
    return storage._untyped_storage


def print_options() -> dict[str, Any]:
    """How torch prints tensors, as ``torch.set_printoptions`` takes it."""
    import torch

    return asdict(torch._tensor_str.PRINT_OPTS)


def hooks_before(module: torch.nn.Module) -> list[Any]:
    """The hooks that run before a module's ``forward``."""
    return list(module._forward_pre_hooks.values())


def quantized(model: bytes, input_data_type: Any, output_data_type: Any) -> bytes:
    """The int8 form of a float TFLite file in which the range of each tensor is noted."""
    from tensorflow.lite.python.convert import mlir_quantize

    return mlir_quantize(model, input_data_type=input_data_type, output_data_type=output_data_type)
