"""Curves as they are drawn: read back from the figure, and once from the picture."""

from __future__ import annotations

import warnings

import numpy as np
import predicted
import pytest
from colour_detector import ColourDetector, make_dataset

from synet.data.images import read_image
from synet.data.yolo_yaml import load_dataset
from synet.evaluation import plots
from synet.evaluation.metrics import measure, metrics


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, in place of their files."""
    figures = []
    monkeypatch.setattr(plots, "_written", lambda path, figure: figures.append(figure) or path)
    return figures


def of_colours(folder, names, scenes=(((0, 10, 10, 20, 30, 250), (1, 50, 40, 40, 20, 200)),)):
    data = load_dataset(make_dataset(folder, list(map(list, scenes)), names))
    result = measure({"m.pt": ColourDetector(names)}, [data], [0.9], progress=False)
    return result.models[0], result.models[0].together


def lines(figure) -> dict[str, np.ndarray]:
    (axes,) = figure.axes
    return {line.get_label(): line.get_xydata() for line in axes.lines if len(line.get_xdata())}


def test_the_area_under_a_drawn_curve_is_what_its_name_tells(shared, tmp_path, drawn):
    data = shared / "data" / "bccd" / "bccd.yaml"
    folder = predicted.write(data, tmp_path / "exp")
    (model,) = metrics([data], predictions=[folder], progress=False).models
    plots.precision_recall(tmp_path, model, model.together)
    curves = lines(drawn[0])
    assert [name.rpartition(" ")[0] for name in curves] == [
        *("RBC", "WBC", "Platelets", "mean (mAP50)"),
    ]
    for name, points in curves.items():
        assert points[:, 1].mean() == pytest.approx(float(name.split()[-1]), abs=5e-4)
        assert (np.diff(points[:, 1]) <= 0).all()
    (axes,) = drawn[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall", "precision")
    assert "exp" not in axes.get_title() and "87 images" in axes.get_title()


def test_f1_over_the_confidence_with_thresholds(tmp_path, drawn):
    model, each = of_colours(tmp_path, ("red", "green", "blue"))
    plots.f1(tmp_path, model, each)
    curves = lines(drawn[0])
    assert list(curves)[:3] == ["red", "green", "all finds"]  # no label shows blue
    everything = curves["all finds"]
    assert everything[[0, -1], 1].tolist() == [0, 1]  # nothing above, everything at the end
    best = model.thresholds[-1]
    np.testing.assert_allclose(
        curves[f"best F1: above {best.confidence:g}"], [[best.confidence, 1]]
    )


def test_several_models_are_drawn_over_each_other(tmp_path, drawn):
    names = ("red", "green", "blue")
    scenes = [[(0, 10, 10, 20, 30, 250), (1, 50, 40, 40, 20, 200)], [(0, 5, 5, 20, 20, 90, False)]]
    data = load_dataset(make_dataset(tmp_path, scenes, names))
    models = {
        "good.pt": ColourDetector(names),
        "$x$.pt": ColourDetector(names[::-1]),  # takes one for the other
    }
    measured = measure(models, [data], progress=False).models
    overlaid = {model.name: model.together for model in measured}
    plots.precision_recall_of_models(tmp_path, "street", overlaid)
    plots.f1_of_models(tmp_path, "street", overlaid)
    means = [each.mean_precision[0] for each in overlaid.values()]
    best = [each.pooled.curve.f1.max() for each in overlaid.values()]
    for figure, read, told in ((drawn[0], np.mean, means), (drawn[1], np.max, best)):
        curves = lines(figure)
        assert [*curves] == [f"good.pt {told[0]:.3f}", rf"\$x\$.pt {told[1]:.3f}"]
        assert [read(points[:, 1]) for points in curves.values()] == pytest.approx(told)
        assert len({line.get_color() for line in figure.axes[0].lines}) == 2
        assert "street" in figure.axes[0].get_title()


def test_many_classes_share_a_line_of_the_legend(tmp_path, drawn, monkeypatch):
    names = ("red", "green", "blue")
    model, each = of_colours(
        tmp_path, names, [[(i, 40 * i, 10, 20, 20) for i in range(3)], [(1, 5, 5, 20, 20)]]
    )
    monkeypatch.setattr(plots, "NAMED", 2)
    monkeypatch.setattr(plots, "COLOURED", 1)
    plots.precision_recall(tmp_path, model, each)
    legend = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert legend == ["2 classes with fewer labels", "green 1.000", "mean (mAP50) 1.000"]


def test_confusion_shows_counts_and_shares(tmp_path, drawn):
    scenes = [[(0, 10, 10, 20, 30), (0, 60, 10, 20, 30)], [(0, 10, 10, 20, 30, 20)]]
    model, each = of_colours(tmp_path, ("red", "green", "blue"), scenes)
    plots.confusion(tmp_path, model, each, 0.25)
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["red", "background"]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "2"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 0], [1 / 3, 0]])
    assert "confidence above 0.25" in axes.get_ylabel()


@pytest.mark.parametrize("names", [("$x^2$", "_hidden", "blue"), ("人", "ü$", "blue")])
def test_names_are_drawn_as_they_are(tmp_path, names):
    model, each = of_colours(tmp_path, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = plots.precision_recall(tmp_path / "a b.png", model, each)
        plots.f1(tmp_path / "f1.png", model, each)
        plots.confusion(tmp_path / "c.png", model, each, 0.25)
    image = read_image(path)
    blue = np.abs(image.astype(int) - (0x00, 0x72, 0xB2)).max(axis=2) < 10
    assert blue.any()
    height, width = image.shape[:2]
    assert 500 < height < width < 1500


def test_the_legend_has_every_name(tmp_path, drawn):
    model, each = of_colours(tmp_path, ("$x^2$", "_hidden", "blue"))
    plots.precision_recall(tmp_path, model, each)
    legend = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert [name.strip().split()[0] for name in legend] == [r"\$x^2\$", "_hidden", "mean"]


def test_nothing_labelled_or_found(tmp_path):
    model, each = of_colours(tmp_path, ("red", "green", "blue"), [[(0, 5, 5, 20, 20, 20, False)]])
    for draw in (plots.precision_recall, plots.f1):
        assert draw(tmp_path / f"{draw.__name__}.png", model, each).is_file()
    assert plots.confusion(tmp_path / "c.png", model, each, 0.25).is_file()
