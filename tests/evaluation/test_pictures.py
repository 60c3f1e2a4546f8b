"""Which pictures are drawn of several models on several data sets, and how the page shows them."""

from __future__ import annotations

import pytest
from colour_detector import ColourDetector, make_dataset

from synet.data.yolo_yaml import load_dataset
from synet.evaluation import plots
from synet.evaluation.metrics import measure
from synet.evaluation.metrics_files import as_markdown
from synet.evaluation.pictures import TOGETHER, draw_all


@pytest.fixture
def measured(tmp_path):
    scene = [(0, 10, 10, 20, 30, 250)]
    data = [load_dataset(make_dataset(tmp_path / name, [scene])) for name in ("day", "night")]

    def measure_(*models):
        return measure({model: ColourDetector() for model in models}, data, progress=False)

    return measure_


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Files in place of pictures."""
    monkeypatch.setattr(plots, "_written", lambda path, figure: path.touch() or path)


def test_several_models_have_pictures_of_all_of_them(measured, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    result = measured("a/best.pt", "a/best.tflite")
    pictures = draw_all(out, result)
    tails = ["", "-day_data", "-night_data"]
    together = [[f"precision-recall{tail}.png", f"f1{tail}.png"] for tail in tails]
    assert [*pictures[TOGETHER].values()] == together
    assert sorted(path.name for path in out.glob("*.png")) == sorted(sum(together, []))
    assert [path.name for path in out.iterdir() if path.is_dir()] and len(pictures) == 3
    assert len([*(out / "best.pt").iterdir()]) == len([*(out / "best.tflite").iterdir()]) == 9
    page = as_markdown(result, pictures)
    assert page.index(f"## {TOGETHER}") < page.index("![](f1-day_data.png)") < page.index("best.pt")


def test_one_model_has_none(measured, tmp_path):
    pictures = draw_all(tmp_path, measured("best.pt"))
    assert [*pictures] == ["best.pt"]
    assert len([*tmp_path.glob("*.png")]) == 9
