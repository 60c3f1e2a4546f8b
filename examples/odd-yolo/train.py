"""Train: python train.py --cfg tiny.yaml --data my.yaml --epochs 3"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from odd.net import Net
from torch.nn import functional as F


def samples(data, size):
    """Images (3, size, size) of 0-1 and boxes (n, 5): class, centre, width and height of 0-1."""
    content = yaml.safe_load(Path(data).read_text())
    folder = Path(data).parent / content.get("path", ".") / content["train"]
    for file in sorted(folder.iterdir()):
        label = Path(str(file.with_suffix(".txt")).replace("/images/", "/labels/"))
        if label.is_file():
            image = cv2.resize(cv2.imread(str(file)), (size, size))[..., ::-1] / np.float32(255)
            boxes = np.loadtxt(label, dtype=np.float32, ndmin=2).reshape(-1, 5)
            yield torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(boxes)


def loss_of(maps, boxes, net):
    """One anchor answers for a box: the one that is nearest to it in size."""
    head, total = net.model[-1], 0
    objects = [torch.zeros_like(raw[..., 4]) for raw in maps]
    for image, box in ((i, b) for i, found in enumerate(boxes) for b in found):
        side = maps[0].shape[2] * head.stride[0]
        sizes = head.anchors * head.stride.view(-1, 1, 1)
        level, anchor = divmod(int((sizes / side / box[3:]).log().abs().sum(-1).argmin()), head.na)
        h, w = maps[level].shape[2:4]
        x, y = box[1] * w, box[2] * h
        raw = maps[level][image, anchor, min(int(y), h - 1), min(int(x), w - 1)]
        centre = raw[:2].sigmoid() * 2 - 0.5
        size = (raw[2:4].sigmoid() * 2) ** 2 * sizes[level, anchor] / side
        total = total + F.l1_loss(centre, torch.stack((x % 1, y % 1)))
        total = total + F.l1_loss(size.log(), box[3:].log())
        total = total + F.cross_entropy(raw[None, 5:], box[:1].long())
        objects[level][image, anchor, min(int(y), h - 1), min(int(x), w - 1)] = 1
    for raw, wanted in zip(maps, objects, strict=True):
        total = total + 10 * F.binary_cross_entropy_with_logits(raw[..., 4], wanted)
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg", default="tiny.yaml")
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--img", type=int, default=128)
    parser.add_argument("--weights", default="", help="a checkpoint to start from")
    options = parser.parse_args()
    torch.manual_seed(0)
    names = yaml.safe_load(Path(options.data).read_text())["names"]
    net = Net(options.cfg, nc=len(names))
    if options.weights:
        net.load_state_dict(torch.load(options.weights)["model"].state_dict())
    net.names = list(names.values()) if isinstance(names, dict) else names
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    batches = torch.utils.data.DataLoader(
        list(samples(options.data, options.img)),
        8,
        shuffle=True,
        collate_fn=lambda b: zip(*b, strict=True),
    )
    for epoch in range(options.epochs):
        losses = []
        for images, boxes in batches:
            loss = loss_of(net.train()(torch.stack(images)), boxes, net)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}")
    torch.save({"model": net, "opt": vars(options)}, "best.pt")
    print("wrote best.pt")


if __name__ == "__main__":
    main()
