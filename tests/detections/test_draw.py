"""Pictures: what is drawn, where, and that nothing falls off the edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synet.detections.detections import Detections
from synet.detections.draw import BONES, OPACITY, PALETTE, WHITE, caption, draw, side_by_side

GREY = np.full((240, 320, 3), 90, np.uint8)


def detections(*rows) -> Detections:
    """Rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5])


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def test_a_box_is_outlined_where_it_is_in_its_class_colour():
    before = GREY.copy()
    picture = draw(GREY, detections([100, 80, 200, 160, 0.9, 1]), ["a", "b"])
    np.testing.assert_array_equal(GREY, before)  # a copy is drawn on
    assert picture.shape == GREY.shape
    assert picture.dtype == np.uint8
    for y, x in ((80, 150), (160, 150), (120, 100), (120, 200)):
        assert tuple(picture[y, x]) == PALETTE[1]
    np.testing.assert_array_equal(picture[90:150, 110:190], 90)  # its inside stays visible
    assert count(picture, PALETTE[0]) == 0


def test_nothing_found_changes_nothing():
    np.testing.assert_array_equal(draw(GREY, detections(), ["a"]), GREY)


def test_classes_beyond_the_palette_have_colours_too():
    many = len(PALETTE) * 3 + 2
    picture = draw(GREY, detections([100, 80, 200, 160, 0.9, many - 1]), ["x"] * many)
    assert count(picture, PALETTE[1]) > 100


def test_a_score_is_written_but_not_for_labels():
    def label_width(score: float) -> int:
        picture = draw(GREY, detections([100, 80, 200, 160, score, 0]), ["cat"])
        filled = (picture[60:76] == PALETTE[0]).all(axis=-1)
        columns = np.flatnonzero(filled.any(axis=0))
        return columns[-1] - columns[0]

    assert label_width(0.99) > label_width(1.0) + 20


@pytest.mark.parametrize(
    "box",
    [(0, 0, 319, 239), (-50, -50, 20, 20), (300, 0, 400, 30), (310, 230, 320, 240), (0, 1, 3, 2)],
)
def test_labels_stay_inside_the_picture(box):
    """The filled label is there in full: as large as one that has all the room."""
    with_room = draw(GREY, detections([100, 80, 103, 81, 0.5, 0]), ["elephant"])
    picture = draw(GREY, detections([*box, 0.5, 0]), ["elephant"])
    assert count(picture, PALETTE[0]) >= 0.9 * count(with_room, PALETTE[0])


def test_labels_of_one_place_avoid_each_other():
    alone = draw(GREY, detections([100, 80, 200, 160, 0.9, 1]), ["a", "b"])
    both = draw(GREY, detections([100, 80, 200, 160, 0.9, 1], [101, 80, 200, 160, 0.8, 0]), "ab")
    row = slice(62, 76)  # above the box: the better score's label, untouched
    np.testing.assert_array_equal(both[row, 100:130], alone[row, 100:130])
    assert count(both[161:], PALETTE[0]) > 100  # the other has gone below


@pytest.mark.parametrize("shape", [(8, 8), (24, 200), (1080, 1920)])
def test_pictures_of_any_size(shape):
    height, width = shape
    box = [width / 4, height / 4, width / 2, height / 2, 0.5, 0]
    picture = draw(np.zeros((*shape, 3), np.uint8), detections(box), ["a long class name"])
    assert picture.shape == (*shape, 3)
    assert picture.any()


BOX = [100, 80, 200, 160, 1, 0]


def test_masks_are_see_through_and_the_better_score_lies_above():
    masks = np.zeros((2, *GREY.shape[:2]), bool)
    masks[0, 90:150, 110:150] = masks[1, 90:150, 140:190] = True
    found = replace(detections([*BOX[:4], 0.5, 0], [*BOX[:4], 0.9, 1]), masks=masks)
    picture = draw(GREY, found, "ab")
    for x, colour in ((120, PALETTE[0]), (145, PALETTE[1]), (180, PALETTE[1])):
        expected = 90 * (1 - OPACITY) + np.array(colour) * OPACITY
        np.testing.assert_allclose(picture[120, x], expected, atol=1)
    np.testing.assert_array_equal(picture[120, 193], 90)


def body(presence: float = 1.0) -> np.ndarray:
    """Points of a person, all far from each other: ``(1, 17, 3)``."""
    x, y = np.meshgrid(np.linspace(20, 300, 6), np.linspace(20, 220, 3))
    points = np.stack([x.ravel(), y.ravel(), np.full(18, presence)], axis=1)
    return points[None, :17]


@pytest.mark.parametrize("count_of", [17, 5])
def test_keypoints_are_drawn_and_those_of_a_person_joined(count_of):
    points = body()[:, :count_of]
    found = replace(detections([0, 0, 2, 2, 1, 0]), keypoints=points)
    picture = draw(GREY, found, "a")
    assert all(tuple(picture[round(y), round(x)]) == WHITE for x, y, _ in points[0])
    for start, end in BONES:
        if max(start, end) < count_of:
            x, y = (points[0, start] * 0.55 + points[0, end] * 0.45)[:2].round().astype(int)
            assert (tuple(picture[y, x]) == PALETTE[0]) == (count_of == 17)


def test_a_keypoint_that_is_not_there_is_not_drawn():
    hidden = body(presence=0.3)
    hidden[0, 0, 2] = 0.9
    found = replace(detections([0, 0, 2, 2, 1, 0]), keypoints=hidden)
    picture = draw(GREY, found, "a")
    assert tuple(picture[20, 20]) == WHITE
    np.testing.assert_array_equal(picture[60:], 90)


def test_a_rotated_box_is_drawn_as_it_lies():
    """A square that stands on a corner: its sides' middles are where no upright side is."""
    found = replace(detections(BOX), rotated=[[150, 120, 60, 60, np.pi / 4]])
    picture = draw(GREY, found, "a")
    reach = 60 * 2**0.5 / 4
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        seen = picture[round(120 + y * reach), round(150 + x * reach)]
        assert np.abs(seen.astype(int) - PALETTE[0]).max() < 40
    for x in (100, 200):
        np.testing.assert_array_equal(picture[105:135, x], 90)


def test_a_caption_tells_the_likeliest_classes():
    probabilities = np.float32([0.05, 0.6, 0.15, 0.2])
    picture = caption(GREY, probabilities, ["ant", "bee", "cat", "dog"])
    rows = [np.flatnonzero((picture == PALETTE[i]).all(axis=-1).any(axis=1)) for i in range(4)]
    assert rows[1].min() == 0 and rows[1].max() < rows[3].min() < rows[3].max() < rows[2].min()
    assert not len(rows[0])
    np.testing.assert_array_equal(picture[100:], 90)
    assert caption(GREY[:9, :9], probabilities[:1], ["ant"]).shape == (9, 9, 3)


def test_side_by_side_keeps_each_picture_whole():
    red, blue = (200, 10, 10), (10, 10, 200)
    left, right = np.full((60, 80, 3), red, np.uint8), np.full((60, 40, 3), blue, np.uint8)
    joined = side_by_side([("ground truth", left), ("int8", right)])
    assert count(joined, red) == 60 * 80
    assert count(joined, blue) == 60 * 40
    reds, blues = (np.argwhere((joined == each).all(axis=-1)) for each in (red, blue))
    assert reds[:, 1].max() < blues[:, 1].min()
    assert (joined[:, [0, -1]] == 255).all()
    assert (joined[: reds[:, 0].min()] < 100).any()  # a title above


def test_side_by_side_enlarges_to_the_tallest():
    small, tall = np.full((50, 40, 3), 10, np.uint8), np.full((100, 40, 3), 200, np.uint8)
    joined = side_by_side([("small", small), ("tall", tall)])
    assert count(joined, (10, 10, 10)) >= 4 * small.size // 3


def test_side_by_side_of_nothing():
    with pytest.raises(ValueError, match="no pictures"):
        side_by_side([])
