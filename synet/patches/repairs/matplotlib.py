"""What matplotlib gives in another form than old code takes, and a font that it brings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synet.patches.repairs.repair import LibraryRepair, is_missing

if TYPE_CHECKING:
    from synet.patches.undo import Applied


def _cycle_is_not_text() -> bool:
    if is_missing("matplotlib"):
        return False
    import matplotlib

    colors = matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", [])
    return not all(isinstance(color, str) for color in colors)


def _spell_cycle(applied: Applied) -> None:
    import matplotlib
    from matplotlib.colors import to_hex

    columns = matplotlib.rcParams["axes.prop_cycle"].by_key()
    columns["color"] = [to_hex(color) for color in columns["color"]]
    applied.bind_item(matplotlib.rcParams, "axes.prop_cycle", matplotlib.cycler(**columns))


def font_file() -> Path:
    """A font that is on every machine with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


MATPLOTLIB_REPAIRS = (
    LibraryRepair(
        name="mpl_cycle",
        error="TypeError: int() can't convert non-string with explicit base",
        since="matplotlib 3.11",
        needed=_cycle_is_not_text,
        apply=_spell_cycle,
    ),
)
