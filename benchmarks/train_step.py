"""Training step: the patched zoo model against the same network with symmetric padding.

The peer has the same layers, channels and weights; only its convolutions are torch's own
``nn.Conv2d`` with ``padding=k // 2``, so the ratio is what TensorFlow's padding costs. Steps
of both alternate in one run, after warm-up.

    python benchmarks/train_step.py [MODEL] [--steps N] [--batch N]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
from torch import nn

from synet import get_model
from synet.layers import Conv2d


class Symmetric(nn.Conv2d):
    """Plain torch, under the name that keeps the rest of the network as it is."""


def with_symmetric_padding(model: nn.Module) -> nn.Module:
    """A copy of `model` whose convolutions pad k // 2 on every side."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, Conv2d):
                plain = Symmetric(
                    conv.in_channels,
                    conv.out_channels,
                    conv.kernel_size,
                    conv.stride,
                    tuple(k // 2 for k in conv.kernel_size),
                    conv.dilation,
                    conv.groups,
                    conv.bias is not None,
                )
                plain.load_state_dict(conv.state_dict())
                setattr(module, name, plain)
    return model


def step(model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> float:
    """Seconds of one forward, backward and update."""
    start = time.perf_counter()
    loss = sum(level.square().mean() for level in model(images))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="katana-kqvga")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    ours = get_model(options.model).train()
    side = max(ours.image_shape)
    models = {"patched": ours, "symmetric": with_symmetric_padding(ours).train()}
    optimizers = {n: torch.optim.SGD(m.parameters(), 1e-3) for n, m in models.items()}
    images = torch.rand(options.batch, 3, side, side)
    seconds = {name: [] for name in models}
    for index in range(options.steps + 3):
        # the order alternates too: whoever goes second finds warmer caches
        for name in sorted(models, reverse=bool(index % 2)):
            taken = step(models[name], optimizers[name], images)
            if index >= 3:
                seconds[name].append(taken)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = statistics.median(
        a / b for a, b in zip(seconds["patched"], seconds["symmetric"], strict=True)
    )
    print(f"{options.model}, batch {options.batch} at {side}x{side}, {options.steps} steps")
    print("| network | median step, s |\n| --- | --- |")
    for name, value in median.items():
        print(f"| {name} | {value:.3f} |")
    print(f"ratio of steps, median: {ratio:.3f} (bar 1.05)")


if __name__ == "__main__":
    main()
