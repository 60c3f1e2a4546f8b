"""What numpy has renamed, removed or forbidden since old code was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synet.patches.repairs.repair import LibraryRepair

if TYPE_CHECKING:
    from synet.patches.undo import Applied

_NUMPY_ALIASES = {
    "int": int,
    "float": float,
    "bool": bool,
    "object": object,
    "str": str,
    "complex": complex,
    "float_": "float64",
    "unicode_": "str_",
    "Inf": "inf",
    "NaN": "nan",
    "product": "prod",
    "cumproduct": "cumprod",
    "alltrue": "all",
    "sometrue": "any",
    "in1d": "isin",
}


def _missing_aliases() -> dict[str, Any]:
    import numpy as np

    # vars(): asking numpy for a removed attribute can warn
    missing = {old: new for old, new in _NUMPY_ALIASES.items() if old not in vars(np)}
    return {old: getattr(np, new) if type(new) is str else new for old, new in missing.items()}


def _alias_numpy(applied: Applied) -> None:
    import numpy as np

    for name, value in _missing_aliases().items():
        applied.bind(np, name, value)


def _trapz_missing() -> bool:
    import numpy as np

    return "trapz" not in vars(np)


def _name_trapz(applied: Applied) -> None:
    import numpy as np

    applied.bind(np, "trapz", np.trapezoid)


def _numbers_and_text_do_not_mix() -> bool:
    import numpy as np

    try:
        np.concatenate((0, ["a"]), axis=None)
    except TypeError:
        return True
    return False


def _join_as_text(applied: Applied) -> None:
    import numpy as np

    join = np.concatenate

    def concatenate(arrays: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        try:
            return join(arrays, *args, **kwargs)
        except np.exceptions.DTypePromotionError:
            arrays = [np.asarray(array) for array in arrays]
            if not any(array.dtype.kind == "U" for array in arrays):
                raise
            return join([array.astype(str) for array in arrays], *args, **kwargs)

    applied.bind(np, "concatenate", concatenate)


NUMPY_REPAIRS = (
    LibraryRepair(
        name="np_trapz",
        error="AttributeError: module 'numpy' has no attribute 'trapz'",
        since="numpy 2.4",
        needed=_trapz_missing,
        apply=_name_trapz,
    ),
    LibraryRepair(
        name="np_alias",
        error="AttributeError: module 'numpy' has no attribute 'int'",
        since="numpy 1.24 (int, float, ...), 2.0 (float_, Inf, ...), 2.4 (in1d)",
        needed=lambda: bool(_missing_aliases()),
        apply=_alias_numpy,
    ),
    LibraryRepair(
        name="np_concat_str",
        error="DTypePromotionError, joining class numbers and label text",
        since="numpy 2.0",
        needed=_numbers_and_text_do_not_mix,
        apply=_join_as_text,
    ),
)
