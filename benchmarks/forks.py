"""Real forks: each trained with two added lines, exported, compared and held against a chip.

For every fork its own smallest yaml and one of the zoo are trained for an epoch on a few
images, and what comes out is looked at in a process of its own: are there layers left that the
chip does not run, does the Keras model compute what torch does, does the int8 file, which
operations and how much memory does it need, is everything put back by ``unpatch()``.

    python benchmarks/forks.py --mirrors DIR [--only NAME,...] [--jobs 2] [--out docs/forks.md]

DIR holds each fork's git repository as ``DIR/owner+name/repo``. ``forkbench.py``, which knows how
each fork is started, and the images are found through ``SYNET_SHARED``, by default ``../shared``.
Results are kept in ``runs/forks/results.json``: what has succeeded is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("SYNET_SHARED", HERE.parents[1] / "shared"))
CHIP = "katana"
ZOO = "katana-kvga.yaml"
TWO_LINES = f'from synet.custom_patches import patch_custom\npatch_custom("{CHIP}")\n'
IMAGES = {"train": ("train2017", 64), "val": ("val2017", 16)}
SIZE = 160  # pixels: what forkbench trains at
QUIET = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3"}


def forkbench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("forkbench", SHARED / "forkbench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def few_images(folder: Path) -> Path:
    """A data yaml with the first images of coco128, persons and all other things.

    Two classes, as the scores of COCO's 80 alone would fill the memory of a small chip.
    """
    source = SHARED / "data" / "coco128"
    yaml = folder / "data.yaml"
    if yaml.is_file():
        return yaml
    for split, (name, count) in IMAGES.items():
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        files = sorted((source / "images" / name).iterdir())
        labelled = [f for f in files if (source / "labels" / name / f"{f.stem}.txt").is_file()]
        for file in labelled[:count]:
            shutil.copyfile(file, images / file.name)
            rows = (source / "labels" / name / f"{file.stem}.txt").read_text().splitlines()
            split_rows = [row.split(maxsplit=1) for row in rows]
            two = [f"{min(int(number), 1)} {box}\n" for number, box in split_rows]
            (labels / f"{file.stem}.txt").write_text("".join(two))
    paths = f"path: {folder}\ntrain: images/train\nval: images/val\n"
    yaml.write_text(f"{paths}names:\n  0: person\n  1: thing\n")
    return yaml


def train(bench: ModuleType, fork: dict, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """One epoch with the two lines, as its user starts it; what forkbench says of it."""
    lines = options.work / "two_lines.py"
    lines.write_text(TWO_LINES)
    if kind == "zoo" and fork["labels"] == "kpt5":
        fork = {**fork, "labels": "yolo"}  # the zoo detects: no landmarks
    arguments = argparse.Namespace(
        mirrors=str(options.mirrors),
        data=str(few_images(options.work / "set")),
        python=sys.executable,
        inject=str(lines),
        cfg=ZOO if kind == "zoo" else "",
        extra="",
        tmp=str(options.work / "runs"),
        timeout=900,
        threads=1,
        keep=True,
        json=None,
        no_font=True,
        no_abs=True,
        pythonpath="",
        cwd_on_path=False,
    )
    os.makedirs(arguments.tmp, exist_ok=True)
    return bench.run(fork, arguments)


def measure(bench: ModuleType, fork: dict, kind: str, options: argparse.Namespace) -> dict:
    """Train, then look at the checkpoint in a fresh process."""
    trained = train(bench, fork, kind, options)
    git = ["git", "-C", str(options.mirrors / fork["mirror"] / "repo"), "rev-parse"]
    commit = subprocess.run([*git, "--short", fork["ref"]], capture_output=True, text=True).stdout
    row = {"fork": fork["name"], "kind": kind, "commit": commit.strip()}
    row |= {"trained": trained["ok"], "seconds": trained["seconds"], "error": trained["error"]}
    if not trained["ok"]:
        return row
    weights = min(trained["pt"], key=lambda path: ("best" not in path, "strip" in path, path))
    folder = Path(trained["dir"])
    command = [sys.executable, __file__, "--look", weights, str(folder / "src" / fork["cwd"])]
    command += [str(options.work / "set" / "data.yaml"), kind]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | QUIET, timeout=1800, cwd=folder
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    row |= json.loads(lines[-1]) if lines else {"error": done.stderr.strip().splitlines()[-1:]}
    shutil.rmtree(folder, ignore_errors=True)
    return row


# ----------------------------------------------------------------- in a process of its own


def look(weights: str, repo: str, data: str, kind: str) -> dict[str, Any]:
    """What a checkpoint holds, and what becomes of it."""
    import numpy as np
    import torch
    from torch import nn

    from synet.custom_patches import patch_custom, unpatch
    from synet.data.calibration import calibration_for
    from synet.layers.heads import find_head
    from synet.models.get_model import get_model
    from synet.models.locate import importable_builders
    from synet.quantization.agreement import compare_outputs, torch_runner
    from synet.quantize import quantize_model
    from synet.system.errors import SynetError
    from synet.tflite.graph import read_graph
    from synet.tflite.model import TfliteModel

    found: dict[str, Any] = {}
    started, before = time.perf_counter(), _process()
    model = get_model(weights, repo)
    after = _process()
    found["process"] = after == before or f"changed: {[k for k in after if after[k] != before[k]]}"
    old = (nn.SiLU, nn.Mish, nn.LeakyReLU, nn.Hardswish, nn.ReLU)
    left = [name for name, m in model.named_modules() if isinstance(m, old) or _is_own_conv(m)]
    found["left"] = left
    head, form = find_head(model)
    found["head"] = type(head).__name__
    shape = None if kind == "zoo" else (SIZE, SIZE)
    torch.manual_seed(0)
    try:
        result = quantize_model(
            weights,
            data,
            shape,
            number=16,
            repo=repo,
            out_path=Path(weights).with_suffix(".tflite"),
            force=True,
            progress=False,
        )
    except SynetError as error:
        return found | {"error": str(error)}
    graph = read_graph(result.content)
    shape = TfliteModel(result.content).image_shape
    images = list(calibration_for(data, shape, model.synet["channels"], 4, 0).images())
    int8 = compare_outputs(
        images, torch_runner(model), TfliteModel(result.content).run, shape, np.mean
    )
    memory = [p for p in result.problems if " they fit " in p or "(they fit" in p]
    found |= {
        "scores": result.keras.scores,
        "boxes": result.keras.boxes,
        "int8": [int8.scores, int8.boxes],
        "operations": sorted({operator.name for operator in graph.operators}),
        "count": len(graph.operators),
        "problems": [p for p in result.problems if p not in memory],
        "memory": memory,
        "peak": graph.peak_activation()[0],
        "weights": graph.weight_bytes,
        "exported": time.perf_counter() - started,
    }
    if kind == "zoo":
        found["alone"] = _loads_alone(weights)
    patching = patch_custom(CHIP, roots=[repo])
    for name, builder in importable_builders(Path(repo), patching.families).items():
        if builder.fits:
            importlib.import_module(name)
    builder = patching.forks[0].module.__name__
    # fuse() asks for the classes that the fork's modules name, which the patch has in them
    patched = get_model(weights, repo)
    _same_after(model, copy.deepcopy(patched), "deepcopy", found)
    with contextlib.redirect_stdout(sys.stderr):
        _same_after(model, copy.deepcopy(patched).fuse(), "fuse", found)
    unpatch()
    found["undone"] = _undone(builder)
    return found


def _process() -> dict[str, Any]:
    """What a call of the library must leave as it is."""
    import torch

    own = {name: vars(sys.modules[name]) for name in ("torch.serialization", "numpy", "argparse")}
    functions = {
        (name, key): value
        for name, names in own.items()
        for key, value in names.items()
        if callable(value)
    }
    return functions | {
        "argv": list(sys.argv),
        "path": list(sys.path),
        "environment": dict(os.environ),
        "finders": [hook for hook in sys.meta_path if type(hook).__module__.startswith("synet")],
        "excepthook": sys.excepthook,
        "tensor": dict(vars(torch.Tensor)),
        "forks": [name for name in sys.modules if name.partition(".")[0] in ("models", "utils")],
    }


def _is_own_conv(module: Any) -> bool:
    """A fork's own Conv: convolution, batch norm and activation under YOLO's names."""
    from synet.layers import Conv

    return type(module).__name__ == "Conv" and not isinstance(module, Conv)


def _same_after(model: Any, other: Any, name: str, found: dict) -> None:
    import torch

    from synet.layers.heads import run_network

    channels = model.synet["channels"]
    image = torch.rand(1, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    a, b = run_network(model, image), run_network(other.eval(), image)
    found[name] = max(float((a[k] - b[k]).abs().max() / max(1, b[k].abs().max())) for k in a)


def _loads_alone(weights: str) -> bool | str:
    """Does the checkpoint load where there is no fork?"""
    code = "import sys; from synet import get_model; get_model(sys.argv[1])"
    clean = {k: v for k, v in os.environ.items() if k not in ("SYNET_RUN", "PYTHONPATH")}
    command = [sys.executable, "-c", code, weights]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=clean)
    return done.returncode == 0 or done.stderr.strip().splitlines()[-1]


def _undone(builder: str) -> bool | str:
    """Are all names of a fork the same objects after patching and unpatching again?"""
    from synet.custom_patches import patch_custom, unpatch

    def state() -> dict:
        seen: dict = {"finders": list(sys.meta_path), "argv": sys.argv, "env": dict(os.environ)}
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            if top in tops and isinstance(module, ModuleType):
                for key, value in vars(module).items():
                    seen[name, key] = value
                    if isinstance(value, type):
                        seen[name, key, "bases"] = value.__bases__
                        seen[name, key, "init"] = vars(value).get("__init__")
        return seen

    tops = {builder.partition(".")[0], "torch", "numpy", "utils", "models", "PIL", "matplotlib"}
    before = state()
    patch_custom(CHIP)
    unpatch()
    after = state()
    keys = [k for k in before if after.get(k) is not before[k] and after.get(k) != before[k]]
    return not keys and before.keys() == after.keys() or f"changed: {keys[:3]}"


# ------------------------------------------------------------------------------- the table


def table(rows: list[dict]) -> str:
    """The results, for people."""
    order = {"own": 0, "zoo": 1}
    head = (
        "| fork | commit | yaml | head | trained, s | Keras against torch | int8 against float "
        "| operations | not run by the chip | activations, weights (KiB) | exported, s |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    lines = [
        _line(row) for row in sorted(rows, key=lambda r: (order[r["kind"]], r["fork"].lower()))
    ]
    done = [row for row in rows if "undone" in row]
    alone = [row["alone"] is True for row in rows if "alone" in row]
    same = max((max(row["deepcopy"], row["fuse"]) for row in done), default=0)
    notes = [
        f"`unpatch()` put every name, base class and hook back in "
        f"{sum(row['undone'] is True for row in done)} of {len(done)}.",
        f"Reading the checkpoint left arguments, environment, import paths, hooks and everybody's "
        f"functions as they were in {sum(row['process'] is True for row in done)} of {len(done)}.",
        f"Layers of another activation, or a fork's own Conv, were left in "
        f"{sum(bool(row['left']) for row in done)}.",
        f"`deepcopy` and `fuse()` changed outputs by at most {same:.0e} of their largest value.",
        f"{sum(alone)} of {len(alone)} checkpoints of the zoo model load without their fork, those "
        f"of the ultralytics line with the installed package; the others hold the fork's own head.",
    ]
    return head + "\n".join(lines) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _line(row: dict) -> str:
    cells = [row["fork"], row["commit"], row["kind"], row.get("head", "")]
    cells.append(f"{row['seconds']:.0f}" if row["trained"] else f"no: {row['error']}")
    if "scores" not in row:
        return f"| {' | '.join([*cells, str(row.get('error') or '')])} | | | | | |"
    int8 = "{:.4f}, {:.4f}".format(*row["int8"])
    fits = "; ".join(map(_fit, row["memory"])) or "fits"
    cells += [
        f"{row['scores']:.0e}, {row['boxes']:.0e}",
        int8,
        str(row["count"]),
        "; ".join(row["problems"]) or "none",
        f"{row['peak'] / 1024:.0f}, {row['weights'] / 1024:.0f}: {fits}",
        f"{row['exported']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _fit(problem: str) -> str:
    """``(they fit at 96x96)`` at the end of a problem, with what is meant."""
    hint = problem.rpartition("(they ")[2].rstrip(")")
    return f"{'weights' if problem.startswith('weights') else 'activations'} {hint}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirrors", type=Path, help="folder of git repositories")
    parser.add_argument("--only", default="", help="names of forks, with commas between them")
    parser.add_argument("--kinds", default="own,zoo", help="own, zoo")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/forks"))
    parser.add_argument("--out", type=Path, help="write the table between the marks of this file")
    parser.add_argument("--look", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look:
        print("\n" + json.dumps(look(*options.look)))
        return
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    results = options.work / "results.json"
    rows = json.loads(results.read_text()) if results.is_file() else []
    rows = [row for row in rows if "scores" in row]  # what failed is tried again
    known = {(row["fork"], row["kind"]) for row in rows}
    bench, only = forkbench(), [name for name in options.only.split(",") if name]
    forks = [
        fork
        for fork in bench.FORKS
        if (not only or fork["name"] in only)
        and "no parse_model" not in fork["layout"]
        and fork["layout"] != "yolov6 layout"
    ]
    few_images(options.work / "set")
    jobs = [
        (fork, kind)
        for fork in forks
        for kind in options.kinds.split(",")
        if (fork["name"], kind) not in known
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(lambda job: measure(bench, *job, options), jobs):
            rows.append(row)
            results.write_text(json.dumps(rows, indent=1))
            print(_line(row), flush=True)
    if options.out:
        mark = "<!-- results -->"
        before, _, rest = options.out.read_text().partition(mark)
        after = rest.partition(mark)[2]
        options.out.write_text(f"{before}{mark}\n{table(rows)}{mark}{after}")
        print(f"wrote {len(rows)} results to {options.out}")


if __name__ == "__main__":
    main()
