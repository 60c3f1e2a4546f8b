"""Whether one model is better than another, or only luckier with these images.

The images of a split are a draw from all that a camera will see. They are drawn again from
themselves, many times, with repetition (Efron's bootstrap), and both models are judged on each
draw: how far the difference of their average precisions scatters is what chance does to it. Images
of one video are alike, so they scatter less than what the camera will see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval

from synet.evaluation.curves import RECALLS

DRAWS, SEED = 500, 0
CERTAINTY = 0.95
# Of fewer images nothing is certain: that five all turn out one way happens by chance once in 16.
FEW = 6
AT_ONCE = 4_000_000  # numbers of a table


@dataclass(frozen=True)
class Change:
    """How much better the second of two models is, in average precision.

    Attributes
    ----------
    value
        The difference on the images as they are; NaN where no label shows the class.
    low, high
        95% of the draws lie between.
    images
        How many there are.
    """

    value: float
    low: float
    high: float
    images: int

    @property
    def is_chance(self) -> bool:
        """Whether as many other images might as well show the opposite, or no difference."""
        return self.images < FEW or not (self.low > 0 or self.high < 0)


@dataclass(frozen=True, eq=False)
class _Class:
    """What was found of a class on all images, the highest confidence first.

    `image` is the number of the image of each find, `right` bool ``(overlaps, finds)``, `labels`
    how many each image has.
    """

    image: np.ndarray
    right: np.ndarray
    labels: np.ndarray


def changes(first: COCOeval, second: COCOeval) -> tuple[Change, dict[int, Change]]:
    """How much better the second model is, in mAP50-95 and in AP50-95 of each class.

    Parameters
    ----------
    first, second
        Two models' finds on the same images, matched with the same labels, as
        `synet.evaluation.found.Found.evaluation` has them.

    Returns
    -------
    The change of the mean over the classes, and of each class, by id. The same arguments give the
    same result: the draws have a seed.
    """
    images = len(first.params.imgIds)
    draws = np.random.default_rng(SEED).multinomial(images, np.full(images, 1 / images), DRAWS)
    weights = np.concatenate([np.ones((1, images), int), draws])  # first the images as they are
    gains = _precision(second, weights) - _precision(first, weights)
    shown = ~np.isnan(gains)
    sums = np.where(shown, gains, 0).sum(axis=1)
    mean = np.divide(sums, shown.sum(axis=1), out=sums * np.nan, where=shown.any(axis=1))
    by_class = zip(first.params.catIds, gains.T, strict=True)
    return _change(mean, images), {int(key): _change(each, images) for key, each in by_class}


def _change(gains: np.ndarray, images: int) -> Change:
    """Of the gain on the images as they are, and on each draw."""
    drawn = gains[1:][~np.isnan(gains[1:])]
    tail = 50 * (1 - CERTAINTY)
    low, high = np.percentile(drawn, [tail, 100 - tail]) if len(drawn) else (np.nan, np.nan)
    return Change(float(gains[0]), float(low), float(high), images)


def _precision(evaluation: COCOeval, weights: np.ndarray) -> np.ndarray:
    """Average precision of each class where each image counts as often as `weights` says.

    Parameters
    ----------
    weights
        int ``(draws, images)``.

    Returns
    -------
    float64 ``(draws, classes)``, the mean over the overlaps of the evaluation, as pycocotools has
    it; NaN where no image that counts shows the class.
    """
    return np.stack([_class_precision(each, weights) for each in _classes(evaluation)], axis=1)


def _classes(evaluation: COCOeval) -> list[_Class]:
    params, count = evaluation.params, len(evaluation.params.imgIds)
    overlaps = len(params.iouThrs)
    found = []
    for number in range(len(params.catIds)):
        labels = np.zeros(count, int)
        images, scores = [np.zeros(0, int)], [np.zeros(0)]
        right = [np.zeros((overlaps, 0), bool)]
        for at, each in enumerate(evaluation.evalImgs[number * count : (number + 1) * count]):
            if each is None:  # neither labels nor finds
                continue
            counted = ~each["dtIgnore"][0]  # not counted: a box turned inside out
            labels[at] = len(each["gtIds"])
            images.append(np.full(counted.sum(), at))
            scores.append(np.array(each["dtScores"])[counted])
            right.append(each["dtMatches"][:, counted] > 0)
        order = np.argsort(-np.concatenate(scores), kind="stable")
        image, rights = np.concatenate(images)[order], np.concatenate(right, axis=1)[:, order]
        found.append(_Class(image, rights, labels))
    return found


def _class_precision(found: _Class, weights: np.ndarray) -> np.ndarray:
    size = len(weights) * len(found.image)
    parts = np.array_split(weights, min(len(weights), 1 + size // AT_ONCE))
    return np.concatenate([_part_precision(found, part) for part in parts])


def _part_precision(found: _Class, weights: np.ndarray) -> np.ndarray:
    labels = weights @ found.labels
    seen = weights[:, found.image].cumsum(axis=1)
    total = np.zeros(len(weights))
    for right in found.right:
        places = np.flatnonzero(right)  # between them precision only falls
        hits = weights[:, found.image[places]].cumsum(axis=1)
        precision = hits / np.maximum(seen[:, places], 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = hits / np.maximum(labels, 1)[:, None]
        reached = np.searchsorted(RECALLS, recall, side="right")  # how many of COCO's recalls
        total += (best * np.diff(reached, axis=1, prepend=0)).sum(axis=1)
    mean = total / (len(RECALLS) * len(found.right))
    return np.where(labels > 0, mean, np.nan)
