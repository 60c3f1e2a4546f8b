"""From a yaml to a network."""

import copy

import torch
import yaml
from torch import nn

from odd.blocks import CBA, Join, Twin
from odd.heads import BoxHead


class Net(nn.Module):
    def __init__(self, cfg, channels=3, nc=None):
        super().__init__()
        if not isinstance(cfg, dict):
            with open(cfg) as file:
                cfg = yaml.safe_load(file)
        self.yaml = dict(cfg, nc=nc or cfg["nc"])
        self.model = make_layers(copy.deepcopy(self.yaml), channels, log=lambda *_: None)
        self.names = [str(i) for i in range(self.yaml["nc"])]
        head = self.model[-1]
        size = 128
        maps = self.train()(torch.zeros(1, channels, size, size))
        self.stride = head.stride = torch.tensor([size / raw.shape[2] for raw in maps])
        head.anchors /= head.stride.view(-1, 1, 1)

    def forward(self, x):
        seen = []
        for layer in self.model:
            if layer.f != -1:
                x = (
                    seen[layer.f]
                    if isinstance(layer.f, int)
                    else [x if i == -1 else seen[i] for i in layer.f]
                )
            x = layer(x)
            seen.append(x)
        return x


def make_layers(definition, channels, log=print):
    layers, out = [], []
    rows = definition["backbone"] + definition["head"]
    for index, (source, number, kind, args) in enumerate(rows):
        kind = getattr(nn, kind[3:]) if kind.startswith("nn.") else globals()[kind]
        args = [definition[a] if isinstance(a, str) and a in definition else a for a in args]
        widths = out or [channels]
        if kind in (CBA, Twin):
            args = [widths[source], *args]
            width = args[1]
        elif kind is Join:
            width = sum(widths[i] for i in source)
        elif kind is BoxHead:
            args.append([widths[i] for i in source])
            width = None
        else:
            width = widths[source]
        layer = nn.Sequential(*(kind(*args) for _ in range(number))) if number > 1 else kind(*args)
        layer.i, layer.f = index, source
        log(index, kind.__name__, args)
        layers.append(layer)
        out.append(width)
    return nn.Sequential(*layers)
