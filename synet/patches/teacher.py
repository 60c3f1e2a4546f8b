"""A teacher in a fork's own training loop.

The student's forward is followed, and to what the fork's loss function makes of it a term is
added. Neither the model nor the loss holds anything of the teacher: what is copied, saved
or resumed is as ever.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import torch
import wrapt
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_pre_hook

from synet.patches.declaration import Wrap, resolve
from synet.system.errors import CheckpointError, PatchError
from synet.teaching.rows import find_boxes, heard
from synet.teaching.teacher import Lesson, Teacher
from synet.teaching.weights import scheduled

if TYPE_CHECKING:
    from synet.patches.undo import Applied

# Makes the network of a checkpoint. By name, as it lies on a floor above.
LOAD = "synet.models.forks:load_model"

# What a class defines beside its forward that is a whole network.
_NETWORK = frozenset(
    ("fuse", "forward_once", "_forward_once", "_predict_once", "_initialize_biases")
)
_PREDICTIONS = "p|pred|preds|predictions|outputs"
_TARGETS = "targets|target|batch|labels"


def checked(path: str | Path) -> Path:
    """The whole path of a teacher, of which it is known that it is a checkpoint.

    Raises
    ------
    CheckpointError
        It is none, or cannot be read.
    """
    from synet.checkpoints.read import classes_named

    classes_named(path)
    return Path(path).resolve()


class Teaching:
    """The wrappers that bring a teacher into a process, and what they know of its training.

    Parameters
    ----------
    path
        The teacher's checkpoint.
    roots
        Tells the folders of the forks, whose classes it may name.
    """

    def __init__(self, path: str | Path, roots: Callable[[], Iterable[Path]]) -> None:
        self.path = path
        self._roots = roots
        self._teacher: Teacher | None = None
        self._student: Callable[[], nn.Module | None] = lambda: None  # that it has been shown
        self._heads: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
        self._lesson: Lesson | None = None
        self._rate = 1.0
        self._lessons, self._taught = 0, 0  # of this epoch, and in all
        self._sums: dict[str, Tensor] = {}
        self.wraps = (
            Wrap("forward", lambda _: self._forward, ("self", "x|images|imgs"), _NETWORK),
            Wrap("__call__", lambda _: self._loss, ("self", _PREDICTIONS, _TARGETS)),
            Wrap(
                "compute_loss",
                lambda _: self._loss,
                (_PREDICTIONS, _TARGETS),
                frozenset(("build_targets",)),
            ),
        )

    def apply(self, applied: Applied) -> None:
        """Follow the learning rate, and see before the first step that a loss was recognised."""
        step = wrapt.FunctionWrapper(LRScheduler.step, self._next_epoch)
        applied.bind(LRScheduler, "step", step, "wrap")
        handle = register_optimizer_step_pre_hook(self._before_step)
        applied.on_undo(handle.remove)
        atexit.register(self._tell)
        applied.on_undo(lambda: atexit.unregister(self._tell))

    def _forward(
        self, wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        images = next(iter((*args, *kwargs.values())), None)
        is_batch = isinstance(images, Tensor) and images.dim() == 4
        if not (is_batch and model.training and torch.is_grad_enabled()):
            return wrapped(*args, **kwargs)
        if getattr(model, "_is_replica", False):
            raise PatchError(
                f"{self.path}: no teacher can teach the replicas of nn.DataParallel; train on one "
                f"card, or start a process for each (torchrun, or device=0,1 of ultralytics)"
            )
        if model not in self._heads:
            self._heads[model] = find_boxes(model)
        if self._heads[model] is None:  # a part of a network, or one of another kind
            return wrapped(*args, **kwargs)
        head, form = self._heads[model]
        with heard(head, form) as said:
            output = wrapped(*args, **kwargs)
        self._lesson = Lesson(model, head, form, images, said)
        return output

    def _loss(
        self, wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        lesson, self._lesson = self._lesson, None  # a loss that this one calls finds none
        result = wrapped(*args, **kwargs)
        if lesson is None or not torch.is_grad_enabled():
            return result
        loss = result[0] if isinstance(result, tuple) and result else None
        if not isinstance(loss, Tensor):
            raise PatchError(
                f"{self.path}: the fork's loss returned no (loss, items), to which what a teacher "
                f"tells could be added"
            )
        terms = self._teacher_of(lesson).terms(lesson)
        self._note(terms)
        # the losses of YOLOs are those of an image, times the batch; some are told in parts
        term = sum(terms.values()) * scheduled(self._rate) * len(lesson.images)
        return (loss + term / loss.numel(), *result[1:])

    def _teacher_of(self, lesson: Lesson) -> Teacher:
        """The teacher, which has seen that it can teach this student."""
        if self._teacher is None:
            with torch.random.fork_rng(devices=[]):  # the run is what it is without a teacher
                self._teacher = Teacher(self._load(), str(self.path))
        if self._student() is not lesson.model:
            self._teacher.check(lesson)
            self._student = ref(lesson.model)
        return self._teacher

    def _load(self) -> nn.Module:
        load = resolve(LOAD)
        try:
            return load(self.path)
        except CheckpointError:  # it may be of the fork that is at hand
            for root in self._roots():
                try:
                    return load(self.path, root)
                except CheckpointError:
                    continue
            raise

    def _note(self, terms: dict[str, Tensor]) -> None:
        self._lessons, self._taught = self._lessons + 1, self._taught + 1
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0) + term.detach()

    def _before_step(self, *_: Any) -> None:
        if self._taught:
            return
        if self._lesson is None:
            raise PatchError(
                f"{self.path}: what is trained here is no network that a teacher can teach: one "
                f"whose head tells boxes, with anchors (m, anchors) or distances (cv2, cv3)"
            )
        raise PatchError(
            f"{self.path}: this fork's loss is not recognised, so that no teacher can add to it; "
            f"SyNet knows a compute_loss(p, targets) and an object that is called with "
            f"(preds, batch) or (p, targets)"
        )

    def _next_epoch(
        self,
        wrapped: Callable[..., Any],
        scheduler: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        wrapped(*args, **kwargs)
        self._tell()
        first, now = max(scheduler.base_lrs), max(scheduler.get_last_lr())
        self._rate = now / first if first else 1.0

    def _tell(self) -> None:
        """Tell, on the first rank, how far the student was from the teacher since the last time."""
        if self._lessons and os.environ.get("RANK", "-1") in ("-1", "0"):
            terms = ", ".join(f"{n} {float(t) / self._lessons:.4g}" for n, t in self._sums.items())
            weight = scheduled(self._rate)
            print(f"synet: apart from the teacher: {terms}; weight {weight:.2f}", file=sys.stderr)
        self._lessons, self._sums = 0, {}
