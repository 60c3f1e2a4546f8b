"""A teacher in the training loop of a fork: what its student learns, and what stays as it was."""

from __future__ import annotations

import copy
import importlib
import io
import json
import os
import pickle
import sys

import pytest
import taught_fork
import torch
from small_fork import forget
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from synet.custom_patches import patch_custom, unpatch
from synet.patches.teacher import checked
from synet.system.errors import CheckpointError, PatchError, SynetError

optimizers = sys.modules["torch.optim.optimizer"]  # torch.optim hides it behind a class
IMAGES = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def fork(tmp_path, monkeypatch, request):
    """The folder of a fork, and the name of its package, which no other test has."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = f"taught_{abs(hash(request.node.name))}"
    yield taught_fork.write(tmp_path, package), package
    unpatch()
    forget(tmp_path)


@pytest.fixture
def taught(fork):
    teacher = taught_fork.save_teacher(*fork)
    torch.manual_seed(0)
    return (*taught_fork.load(*fork, teacher), teacher)


def test_the_students_loss_and_gradients_grow_by_what_it_does_not_know_yet(fork):
    grads = []
    teacher = taught_fork.save_teacher(*fork)
    for given in (None, teacher):
        torch.manual_seed(0)
        model, losses = taught_fork.load(*fork, given)
        loss, items = losses.ComputeLoss()(model(IMAGES), IMAGES)
        loss.backward()
        grads.append((loss.item(), [p.grad for p in model.parameters()]))
        assert loss.shape == (1,) and items.shape == (1,)
        unpatch()
    (plain, of_plain), (more, of_more) = grads
    assert more > plain
    assert all((a - b).abs().max() > 0 for a, b in zip(of_plain, of_more, strict=True))


@pytest.mark.parametrize("kind", ["an object", "a function", "one that calls another"])
def test_a_student_without_labels_comes_near_its_teacher(taught, kind):
    model, losses, _ = taught
    loss = {
        "an object": losses.ComputeLoss(0.0),
        "one that calls another": losses.Outer(0.0),
        "a function": lambda p, targets: losses.compute_loss([0 * y for y in p], targets, model),
    }[kind]
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    seen = []
    for _ in range(12):
        found, _ = loss(model(IMAGES), IMAGES)
        found.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(found.item())
    assert seen[-1] < 0.4 * seen[0]


def test_the_teacher_is_never_changed(taught):
    model, losses, teacher = taught
    loss = losses.ComputeLoss()
    loss(model(IMAGES), IMAGES)[0].backward()
    teaching = type(model).forward._self_wrapper.__self__
    network = teaching._teacher.network
    before = copy.deepcopy(network.state_dict())
    loss(model(IMAGES), IMAGES)[0].backward()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    trained = torch.load(teacher, weights_only=False)["model"].state_dict()
    assert all(torch.equal(trained[name], value) for name, value in before.items())
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert {type(m).__name__ for m in network.modules() if m.training} == {"Detect"}


def test_nothing_of_it_is_copied_or_saved(taught):
    model, losses, _ = taught
    losses.ComputeLoss()(model(IMAGES), IMAGES)[0].backward()
    copied = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save({"model": model, "ema": copied}, file)
    assert b"teach" not in file.getvalue() and b"teach" not in pickle.dumps(model)
    for module in (*model.modules(), *copied.modules()):
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_validation_is_as_ever(taught):
    model, losses, _ = taught
    with torch.no_grad():
        trained = losses.ComputeLoss()(model(IMAGES), IMAGES)[0]
        assert torch.equal(trained.view(()), _plain(model))
    model.eval()
    assert torch.equal(losses.ComputeLoss()(model(IMAGES), IMAGES)[0].view(()), _plain(model))


def _plain(model) -> torch.Tensor:
    return sum(y.square().mean() for y in model(IMAGES)) * len(IMAGES)


def test_its_weight_falls_with_the_learning_rate_and_each_epoch_tells(taught, capsys):
    model, losses, _ = taught
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    scheduler = LambdaLR(optimizer, lambda epoch: 1 - epoch / 2)
    optimizer.param_groups[0]["lr"] = 0.0  # one epoch is as another, and rates are the scheduler's
    found = []
    for _ in range(3):
        optimizer.zero_grad()
        loss, items = losses.ComputeLoss(0.0)(model(IMAGES), IMAGES)
        found.append(loss.item())
        optimizer.step()
        scheduler.base_lrs, scheduler._last_lr = [1.0], [1.0]
        scheduler.step()
    lines = [line for line in capsys.readouterr().err.splitlines() if "teacher" in line]
    assert [line.rpartition(" ")[2] for line in lines] == ["1.00", "0.62", "0.25"]
    assert all(word in lines[0] for word in ("scores", "boxes", "features"))
    assert found[2] == pytest.approx(0.25 * found[0], rel=0.05)


def test_all_is_put_back(fork):
    step = LRScheduler.step
    hooks = dict(optimizers._global_optimizer_pre_hooks)
    losses = importlib.import_module(f"{fork[1]}.loss")
    call, function = losses.ComputeLoss.__call__, losses.compute_loss
    taught_fork.load(*fork, taught_fork.save_teacher(*fork))
    assert losses.ComputeLoss.__call__ is not call and LRScheduler.step is not step
    unpatch()
    assert losses.ComputeLoss.__call__ is call and losses.compute_loss is function
    assert LRScheduler.step is step
    assert dict(optimizers._global_optimizer_pre_hooks) == hooks


def test_processes_that_are_started_have_the_same_teacher(taught):
    *_, teacher = taught
    assert json.loads(os.environ["SYNET_RUN"])["teacher"] == str(teacher)
    patch_custom("katana", teacher=teacher)
    patch_custom("katana")


# -------------------------------------------------------------------------------- wrong inputs


def test_a_second_teacher_is_refused(taught, tmp_path):
    *_, teacher = taught
    other = tmp_path / "other.pt"
    other.write_bytes(teacher.read_bytes())
    with pytest.raises(PatchError, match="already patched with .*teacher.pt"):
        patch_custom("katana", teacher=other)


@pytest.mark.parametrize("nc", [2, 3])
def test_a_teacher_of_other_classes_is_told_before_a_step_is_made(fork, nc):
    teacher = taught_fork.save_teacher(*fork, nc=nc, names=("a", "b", "c", "d")[:nc])
    model, losses = taught_fork.load(*fork, teacher)
    model.names = ["cat", "dog"]
    with pytest.raises(SynetError, match=rf"{nc} classes \(a, b.* 2 classes \(cat, dog\)") as told:
        losses.ComputeLoss()(model(IMAGES), IMAGES)
    assert "\n" not in str(told.value)


def test_a_loss_that_is_not_recognised_is_told_before_a_step_is_made(taught):
    model, losses, _ = taught
    loss, _ = losses.Unknown()(model(IMAGES), IMAGES)
    loss.backward()
    with pytest.raises(PatchError, match="loss is not recognised"):
        torch.optim.SGD(model.parameters(), 0.1).step()


def test_what_is_no_network_with_boxes_is_told_before_a_step_is_made(taught):
    other = torch.nn.Linear(2, 2)
    other(torch.rand(1, 2)).sum().backward()
    with pytest.raises(PatchError, match="no network that a teacher can teach"):
        torch.optim.SGD(other.parameters(), 0.1).step()


@pytest.mark.parametrize("what", ["nothing", "empty", "onnx", "torchscript", "a folder"])
def test_what_is_no_checkpoint_is_told_at_once(tmp_path, what):
    path = tmp_path / "teacher.pt"
    if what == "empty":
        path.touch()
    elif what == "onnx":
        path.write_bytes(b"\x08\x07\x12\x07pytorch" * 9)
    elif what == "torchscript":
        torch.jit.script(torch.nn.ReLU()).save(str(path))
    elif what == "a folder":
        path.mkdir()
    with pytest.raises(CheckpointError, match="teacher.pt") as told:
        checked(path)
    assert "\n" not in str(told.value)
