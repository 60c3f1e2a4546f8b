from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from synet import zoo
from synet.inspection.zoo_edit import commented, edited
from synet.system.errors import SynetError

TEXT = """\
# A model.
synet:
  chip: katana                    # ours
  image_shape: [64, 96]           # height, width

nc: 2                             # classes
# the camera
ch: 1

backbone:
  # from, number, layer, arguments
  - [-1, 1, Conv, [8, 3, 2]]      # 0   stride 2
  - [-1, 2, Conv, [16, 3]]        # 1
head:
  - [[-1, 0], 1, Concat, [1]]     # 2
  - [[2], 1, Detect, [nc]]        # no number
"""


def changed(**values):
    definition = yaml.safe_load(TEXT)
    wanted = {**copy.deepcopy(definition), **values}
    return edited(TEXT, definition, wanted, Path("m.yaml")), wanted


def difference(text):
    """Lines that were taken out, and those that were put in."""
    old, new = TEXT.splitlines(), text.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_a_value_changes_and_its_comment_stays():
    text, wanted = changed(nc=80)
    assert yaml.safe_load(text) == wanted
    assert difference(text) == (
        ["nc: 2                             # classes"],
        ["nc: 80                             # classes"],
    )


def test_a_key_that_was_not_there_comes_behind_the_classes():
    text, _ = changed(width_multiple=0.5)
    assert difference(text) == ([], ["width_multiple: 0.5"])
    assert text.index("nc: 2") < text.index("width_multiple") < text.index("# the camera")


def test_a_section_is_written_anew_and_what_stands_around_it_stays():
    text, wanted = changed(synet={"chip": "sabre", "image_shape": [32, 64], "macs": 7})
    assert yaml.safe_load(text) == wanted
    assert text.startswith(
        "# A model.\nsynet:\n  chip: sabre\n"
        "  image_shape: [32, 64]           # height, width\n  macs: 7\n\nnc: 2"
    )
    assert text.partition("\nnc:")[2] == TEXT.partition("\nnc:")[2]


def test_only_the_values_of_a_row_that_differ_change():
    rows = [[-1, 1, "Conv", [8, 3, 2]], [-1, 3, "Conv", [24, 3]]]
    text, _ = changed(backbone=rows)
    assert difference(text)[1] == ["  - [-1, 3, Conv, [24, 3]]        # 1"]


def test_a_row_more_or_less_at_the_start():
    first = [-1, 1, "Grayscale", []]
    rows = yaml.safe_load(TEXT)["backbone"]
    text, wanted = changed(backbone=[first, *rows])
    assert difference(text) == ([], ["  - [-1, 1, Grayscale, []]"])
    text, _ = changed(backbone=rows[1:])
    assert difference(text) == (["  - [-1, 1, Conv, [8, 3, 2]]      # 0   stride 2"], [])


@pytest.mark.parametrize(
    ("old", "text"),
    [
        ("synet:\n  chip: katana                    # ours\n"
         "  image_shape: [64, 96]           # height, width\n",
         "synet: {chip: katana, image_shape: [64, 96]}\n"),
        ("nc: 2 ", "nc: &n 2 "),
        (TEXT, TEXT.replace("\n", "\r\n")),
        ("# A model.", "%YAML 1.1\n---"),
    ],
    ids=["flow", "anchor", "windows", "directive"],
)  # fmt: skip
def test_other_ways_to_write_a_yaml(old, text):
    text = TEXT.replace(old, text)
    definition = yaml.safe_load(text)
    wanted = {**definition, "nc": 5, "synet": {"chip": "sabre", "image_shape": [8, 8]}}
    assert yaml.safe_load(edited(text, definition, wanted, Path("m.yaml"))) == wanted


def test_what_cannot_be_edited_is_refused_by_name():
    text = TEXT.replace("nc: 2 ", "nc: &n 2 ").replace("ch: 1", "ch: *n")
    definition = yaml.safe_load(text)
    with pytest.raises(SynetError, match=r"^m\.yaml: cannot be changed line by line"):
        edited(text, definition, {**definition, "nc": 3}, Path("m.yaml"))


def test_comments_follow_their_rows():
    text = TEXT.replace("  - [-1, 1, Conv", "  - [-1, 1, Grayscale, []]\n  - [-1, 1, Conv", 1)
    lines = [line for line in commented(text, 1, {}).splitlines() if "- [" in line]
    assert [line.partition("#")[2] for line in lines] == [
        "",
        " 1   stride 2",
        " 2",
        " 3",
        " no number",
    ]


@pytest.mark.parametrize("name", zoo.names())
def test_comments_that_are_right_stay_as_they_are(name):
    """With the figures that they have; of other rows none is known."""
    text = zoo.model_path(name).read_text()
    rows = [
        line.partition("# ")[2].split() for line in text.splitlines() if " - [-1, 3, Inv" in line
    ]
    figures = {int(row[0]): tuple(map(float, row[1:5])) for row in rows}
    assert len(figures) == {"katana-kqvga": 1, "katana-kvga": 2}.get(name, 0)
    assert commented(text, 0, figures).count("\n") == text.count("\n")
    if not name.startswith("katana"):
        assert commented(text, 0, {0: (1, 2, 3, 4)}) == text
    for row in rows:
        assert next(line for line in text.splitlines() if f"# {row[0]} " in line) in commented(
            text, 0, figures
        )


def test_figures_that_are_not_known_go():
    line = "  - [-1, 1, Conv, [8, 3, 2]]      # 0    300   2.8      0.2    375  stride 2"
    text = TEXT.replace("  - [-1, 1, Conv, [8, 3, 2]]      # 0   stride 2", line)
    assert "# 0   37.5     0      166   1024  stride 2\n" in commented(
        text, 0, {0: (37.5, 0.01, 165.6, 1024.0)}
    )
    assert "# 0  stride 2\n" in commented(text, 0, {})
