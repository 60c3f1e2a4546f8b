"""A stock YOLOv8n to int8 as it was trained: its cycles beside ReLU6, and what int8 loses.

The network is ultralytics' own, with SiLU. Three forms of it go through Vela for Sabre: the ReLU6
twin, which has other activations and is else the same; SiLU with GELU in its place, as `synet
quantize` makes it; and SiLU as LOGISTIC and MUL. Weights do not count for that. With ``--peer``
ultralytics' own int8 export of the same yaml is a fourth, see ``peer_export.py``.

    python benchmarks/stock.py [--cfg yolov8n.yaml] [--peer PYTHON]
    python benchmarks/stock.py --weights seed0.pt seed1.pt seed2.pt --data bccd.yaml

With checkpoints that were trained without SyNet, each is quantized and evaluated beside its float
model. The bar is what is lost on average.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from peer_export import PEER, data_of, export

from synet.chips import get_chip
from synet.export.convert import aim, inspection_bytes, random_calibration, to_keras
from synet.export.tensorflow import to_float, to_int8
from synet.verdict.vela import Compiled, compile_for

SHAPE = (256, 320)
CHIP = "sabre"
BAR_COST, BAR_POINTS = 1.05, 0.5


def stock(cfg: str, activation: str = "") -> object:
    """The untrained network of a yaml, as ultralytics builds it without us."""
    import torch
    from ultralytics.nn.modules import Conv
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    own = Conv.default_act
    Conv.default_act = getattr(torch.nn, activation)() if activation else own
    try:
        network = DetectionModel(cfg, verbose=False).eval()
    finally:
        Conv.default_act = own
    aim(network, CHIP)
    return network


def literal(network: object) -> bytes:
    """The int8 file in which nothing stands for SiLU."""
    images = random_calibration(SHAPE, 3).images
    return to_int8(to_float(to_keras(network, SHAPE, 3)), images)


def costs(cfg: str, peer: str) -> None:
    """Print the table of cycles and memory."""
    network = stock(cfg)
    files = {
        "ReLU6 twin": inspection_bytes(stock(cfg, "ReLU6"), SHAPE),
        "SiLU, GELU in its place": inspection_bytes(network, SHAPE),
        "SiLU as LOGISTIC and MUL": literal(network),
    }
    if peer:
        with tempfile.TemporaryDirectory() as folder:
            data = data_of(None, Path(folder))
            arguments = [cfg, str(data), *map(str, SHAPE)]
            files["ultralytics' own int8 file"] = export(peer, PEER, arguments).content
    found = {name: compile_for(content, get_chip(CHIP)) for name, content in files.items()}
    print(
        f"| {cfg} at {SHAPE[0]}x{SHAPE[1]} | cycles, M | ratio | SRAM, KiB | ratio | on the CPU |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, one in found.items():
        print(f"| {name} | {_figures(one, found['ReLU6 twin'])} |")
    print(f"| bar | | {BAR_COST} | | {BAR_COST} | 0 |")


def _figures(one: Compiled, twin: Compiled) -> str:
    memory = f"{one.sram_bytes / 1024:.1f} | {one.sram_bytes / twin.sram_bytes:.3f}"
    cycles = f"{one.cycles / 1e6:.2f} | {one.cycles / twin.cycles:.3f}"
    return f"{cycles} | {memory} | {len(one.on_cpu)}"


def accuracy(checkpoints: list[Path], data: Path) -> None:
    """Print what int8 loses of each checkpoint."""
    from synet.evaluation.evaluate import evaluate
    from synet.quantization.quantize_model import quantize_model

    print("| checkpoint | float mAP50-95 | int8 mAP50-95 | points lost |")
    print("| --- | --- | --- | --- |")
    lost = []
    for weights in checkpoints:
        result = quantize_model(weights, data, SHAPE, chip=CHIP, progress=False)
        exact, int8 = (
            evaluate(file, data, image_shape=SHAPE, progress=False).map50_95
            for file in (weights, result.path)
        )
        lost.append(100 * (exact - int8))
        print(f"| {weights.name} | {exact:.4f} | {int8:.4f} | {lost[-1]:.2f} |", flush=True)
    print(f"| mean | | | {statistics.mean(lost):.2f} (bar {BAR_POINTS:.2f}) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cfg", default="yolov8n.yaml")
    parser.add_argument("--peer", default="", metavar="PYTHON")
    parser.add_argument("--weights", nargs="*", type=Path, default=[])
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    if given.weights and not given.data:
        sys.exit("--weights needs --data YAML")
    if given.weights:
        accuracy(given.weights, given.data)
    else:
        costs(given.cfg, given.peer)


if __name__ == "__main__":
    main()
