"""The network that teaches: frozen, as it was trained, and on the images of the student."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synet.layers.basic import Grayscale
from synet.layers.heads.form import strides
from synet.system.errors import SynetError
from synet.system.text import first_few
from synet.teaching.features import feature_term
from synet.teaching.rows import BoxForm, Heard, find_boxes, heard, is_rotated, rows_of
from synet.teaching.terms import output_terms
from synet.teaching.weights import WEIGHTS, gains_of

GREY = 114 / 255  # what YOLOs put around an image


@dataclass(frozen=True)
class Lesson:
    """One run of the student on a batch of images, as its loss is about to judge it.

    Parameters
    ----------
    model, head, form
        The student.
    images
        (N, C, H, W), 0-1.
    heard
        What its head was given, and told.
    """

    model: nn.Module
    head: nn.Module
    form: BoxForm
    images: Tensor
    heard: Heard


class Teacher:
    """A trained network that says what it sees in a student's images.

    Parameters
    ----------
    network
        It belongs to the teacher from now on.
    title
        Its file, for errors.

    Raises
    ------
    SynetError
        Its head tells no boxes.
    """

    def __init__(self, network: nn.Module, title: str) -> None:
        self.title = title
        self.network = network.eval().requires_grad_(False)
        found = find_boxes(network)
        if found is None:
            raise SynetError(
                f"{title}: ends in no head with boxes that SyNet knows, with anchors (m, anchors) "
                f"or distances (cv2, cv3); boxes and scores are what a teacher teaches"
            )
        self.head, self.form = found
        self.names = names_of_classes(network)
        self.channels = next(m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d))
        self.step = math.lcm(*(round(stride) for stride in strides(self.head)))
        self.head.training = True  # it alone: it then leaves out what only detections need

    def check(self, student: Lesson) -> None:
        """See that it can teach this student.

        Raises
        ------
        SynetError
            They know other classes, or tell boxes that cannot be compared.
        """
        theirs = names_of_classes(student.model)
        mine, count = self.names, (self.head.nc, student.head.nc)
        named = all(not _are_numbers(names) for names in (mine, theirs))
        if count[0] != count[1] or (named and count[0] > 1 and mine != theirs):
            raise SynetError(
                f"{self.title}: this teacher knows {_listed(mine)}, and the student is to learn "
                f"{_listed(theirs)}; a teacher has the same classes, in the same order"
            )
        if is_rotated(self.form) != is_rotated(student.form):
            raise SynetError(
                f"{self.title}: rotated boxes and upright ones cannot be compared; take a teacher "
                f"whose boxes are as those of the student"
            )

    def terms(self, student: Lesson) -> dict[str, Tensor]:
        """What the student's loss is to grow by, for the average image, term by term."""
        images = student.images
        with torch.autocast(images.device.type, enabled=False):
            with torch.no_grad():
                said = self._look(images)
                mine = rows_of(self.head, self.form, said)
            rows = rows_of(student.head, student.form, student.heard)
            gains = gains_of(student.model, rows[0].objectness is not None)
            terms = output_terms(rows, mine, gains)
            apart = feature_term(student.heard.features, said.features, (rows, mine))
            if apart is not None:
                terms["features"] = gains["box"] * apart
        return {name: WEIGHTS[name] * term for name, term in terms.items()}

    def _look(self, images: Tensor) -> Heard:
        weight = next(self.network.parameters())
        dtype = torch.half if images.device.type == "cuda" else torch.float32
        if (weight.device, weight.dtype) != (images.device, dtype):
            self.network.to(images.device, dtype)
        with heard(self.head, self.form) as said:
            self.network(self._shown(images).to(dtype))
        return said

    def _shown(self, images: Tensor) -> Tensor:
        """The images in the colours, and at a size, that the teacher takes: grey is added below."""
        if images.shape[1] == 1:
            images = images.expand(-1, self.channels, -1, -1)
        elif self.channels == 1:
            images = Grayscale()(images)
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % self.step, 0, -height % self.step), value=GREY)


def names_of_classes(network: nn.Module) -> tuple[str, ...]:
    """The names of a model's classes, in order."""
    names = getattr(network, "names", None) or ()
    return tuple(map(str, names.values() if isinstance(names, Mapping) else names))


def _are_numbers(names: tuple[str, ...]) -> bool:
    """Are these what YOLOs call classes that nobody has named?"""
    return all(name.removeprefix("class") == str(number) for number, name in enumerate(names))


def _listed(names: tuple[str, ...]) -> str:
    return f"{len(names)} classes ({first_few(names, 3)})"
