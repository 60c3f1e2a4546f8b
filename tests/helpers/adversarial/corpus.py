"""Files of strangers by kind, and the commands that open a file of that kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tiny_files
import tiny_yolo
import torch
from adversarial import artifacts, checkpoints, yamls
from adversarial.watch import Job
from patched import patched_fork

from synet.custom_patches import unpatch
from synet.data.drawn_shapes import NAMES, draw_dataset
from synet.inspection.visualize import SHOWN
from synet.models.forks import quiet
from synet.models.locate import installed

# What a command is asked, the main one of each kind first. FILE is the stranger's, the others
# are sound; it writes into the folder that it runs in.
COMMANDS = {
    "checkpoint": (
        "summary FILE",
        "sparsity FILE",
        "profile FILE",
        "latency FILE --runs 1 --warm-up 0",
        "evaluate FILE --data DATA",
        "predict FILE IMAGE --out out",
        "compare FILE NETWORK IMAGE",
        "report NETWORK --data DATA --out page.html --float FILE",
        "metrics DATA --models FILE --project out",
        "quantize --weights FILE --data DATA --out new.tflite",
        "zoo create FILE --nc 3 -o new.yaml",
        "zoo show FILE",
        "visualize FILE",
    ),
    "model": (
        "summary FILE",
        "sparsity FILE",
        "profile FILE",
        "quantize --cfg FILE --out new.tflite",
        "zoo create FILE --nc 3 -o new.yaml",
        "visualize FILE",
    ),
    "data": (
        "evaluate NETWORK --data FILE --classes circle",
        "data_subset FILE subset.yaml",
        "metrics FILE --models NETWORK --project out --classes circle",
        "quantize --weights CHECKPOINT --data FILE --out new.tflite",
        "report NETWORK --data FILE --out page.html --classes circle",
        "data_subset DATA FILE",
    ),
    "tflite": (
        "predict FILE IMAGE --out out",
        "profile FILE --chip katana",
        "summary FILE",
        "sparsity FILE",
        "latency FILE --runs 1 --warm-up 0",
        "evaluate FILE --data DATA --classes circle",
        "compare FILE IMAGE --dump out",
        "compare CHECKPOINT FILE IMAGE",
        "report FILE --data DATA --out page.html --classes circle",
        "metrics DATA --models FILE --project out --classes circle",
        "visualize FILE",
    ),
    "other": ("summary FILE", "sparsity FILE", "visualize FILE"),
    "image": (
        "predict NETWORK FILE --out out",
        "latency NETWORK --image FILE --runs 1 --warm-up 0",
        "compare NETWORK FILE --dump out",
    ),
    "label": (
        "evaluate NETWORK --data FILE --classes circle",
        "data_subset FILE subset.yaml",
        "metrics FILE --models NETWORK --project out --classes circle",
    ),
    "prediction": ("metrics DATA --predictions FILE --project out",),
}
# What runs a YOLO, which says much of its own beside a line of ours. HERE is the folder it runs in.
_YOLOV5 = "--img 64 --batch-size 1 --workers 0 --device cpu --project HERE"
_ULTRALYTICS = "imgsz=64 batch=1 workers=0 device=cpu plots=False project=HERE"
YOLOS = {
    "yolov5": {
        "model": f"yolov5 train --weights= --cfg FILE --data DATA --epochs 1 {_YOLOV5}",
        "yolov5": f"yolov5 val --weights FILE --data DATA {_YOLOV5}",
        "checkpoint": f"yolov5 val --weights FILE --data DATA {_YOLOV5}",
        "data": f"yolov5 val --weights YOLOV5 --data FILE {_YOLOV5}",
    },
    "ultralytics": {
        "model": f"ultralytics train model=FILE data=DATA epochs=1 {_ULTRALYTICS}",
        "checkpoint": f"ultralytics val model=FILE data=DATA {_ULTRALYTICS}",
        "data": f"ultralytics val model=CHECKPOINT data=FILE {_ULTRALYTICS}",
        "tflite": f"ultralytics val model=FILE data=DATA {_ULTRALYTICS}",
    },
}
SUBSET = {"subset.yaml": "train: images/train\nval: images/val\nnames: [circle]\n"}
# As a fork opens it in a patched process; each is a function of `adversarial.worker`.
FORKS = {
    "checkpoint": ("torch_load", "ultralytics_val"),
    "model": ("yolov5_model", "ultralytics_model"),
    "data": ("yolov5_data", "ultralytics_data"),
}


@dataclass(frozen=True)
class Stranger:
    """A file, and whether a command may do its work with it."""

    name: str
    kind: str
    path: Path
    may_pass: bool = False


@dataclass(frozen=True)
class Sound:
    """Files that are in order."""

    checkpoint: Path
    network: Path
    data: Path
    image: Path
    model: Path
    predictions: Path
    yolov5: Path

    @classmethod
    def write(cls, folder: Path, network: Path) -> Sound:
        """Write them into `folder`; `network` is an int8 file with an image of 480x640."""
        checkpoint = folder / "sound.pt"
        checkpoint.write_bytes(tiny_files.checkpoint("detect").read_bytes())
        unpatch()
        data = draw_dataset(folder / "sound", train=1, val=1, test=1)
        image = next((folder / "sound" / "images" / "val").iterdir())
        predictions = folder / "predictions"
        predictions.mkdir()
        (predictions / f"{image.stem}.txt").write_text("0 0.5 0.5 0.1 0.1 0.9\n")
        model = tiny_yolo.write(folder)
        trained = _yolov5_checkpoint(folder / "yolov5.pt", model)
        return cls(checkpoint, network, data, image, model, predictions, trained)

    def typed(self, command: str, file: Path) -> tuple[str, ...]:
        """A command of `COMMANDS` for a file."""
        words = {"FILE": file, "CHECKPOINT": self.checkpoint, "NETWORK": self.network}
        words |= {"DATA": self.data, "IMAGE": self.image, "YOLOV5": self.yolov5}
        return tuple(_put(word, words) for word in command.split())

    def of_kind(self, kind: str) -> Path:
        """The one that a stranger of that kind stands for."""
        places = {"checkpoint": self.checkpoint, "model": self.model, "image": self.image}
        places |= {
            "yolov5": self.yolov5,
            "tflite": self.network,
            "other": self.network,
            "prediction": self.predictions,
        }
        return places.get(kind, self.data)


def _yolov5_checkpoint(file: Path, cfg: Path) -> Path:
    """As the yolov5 package saves it, of a network for katana."""
    fork = patched_fork(installed("yolov5"), "katana")
    try:
        with quiet():
            model = fork.module.Model(str(cfg), nc=len(NAMES))
        model.names, model.nc = list(NAMES), len(NAMES)
        torch.save({"model": model, "ema": None, "epoch": -1, "opt": {}, "train_args": {}}, file)
    finally:
        unpatch()
    return file


def _put(word: str, files: Mapping[str, Path]) -> str:
    option, equals, name = word.rpartition("=")
    return f"{option}{equals}{files.get(name, name)}"


def write(folder: Path, sound: Sound) -> dict[str, list[Stranger]]:
    """Write the corpus below `folder`; the strangers by their kind."""
    canary = folder / "canary"
    made: dict[str, list[Stranger]] = {}

    def take(
        kind: str, found: Iterable[tuple[str, Path]], may_pass: Iterable[str] | None = ()
    ) -> None:
        allowed = None if may_pass is None else set(may_pass)
        made.setdefault(kind, []).extend(
            Stranger(name, kind, path, allowed is None or name in allowed) for name, path in found
        )

    places = {kind: folder / kind for kind in (*COMMANDS, "yolov5")}
    for place in places.values():
        place.mkdir(parents=True)
    (places["checkpoint"] / "files").mkdir()
    take("data", yamls.write_data(places["data"], canary, sound.data.parent), yamls.MAY_PASS)
    take("other", artifacts.write_others(places["other"], canary))
    onnx = next(each.path for each in made["other"] if each.name == "onnx: data of a device")
    take("model", yamls.write_models(places["model"], canary, onnx), yamls.MAY_PASS)
    take("checkpoint", checkpoints.write_pickles(places["checkpoint"], canary))
    by_name = {each.name: str(each.path) for each in made["data"]}
    files = {
        "model": str(onnx),
        "canary": str(canary),
        "new folder": str(folder / "made"),
        "python": by_name["downloads by Python"],
        "shell": by_name["downloads by bash"],
    }
    # broken ones: what they say has no meaning, and a command may have no need of it
    take(
        "checkpoint", checkpoints.write_broken(places["checkpoint"], sound.checkpoint, files), None
    )
    take("yolov5", checkpoints.write_broken(places["yolov5"], sound.yolov5, files), None)
    take("tflite", artifacts.write_tflite(places["tflite"], sound.network.read_bytes()), None)
    take("image", artifacts.write_images(places["image"], canary))
    take("label", artifacts.write_labels(places["label"], sound.image))
    take("prediction", artifacts.write_predictions(places["prediction"], sound.image.stem))
    return made


def jobs(strangers: Iterable[Stranger], sound: Sound, commands: slice) -> Iterator[Job]:
    """Each stranger through those commands of its kind, one command after the other."""
    strangers = list(strangers)
    for command in COMMANDS[strangers[0].kind][commands]:
        for each in strangers:
            first = sound.typed(command, sound.of_kind(each.kind))
            served = command.startswith("visualize") and each.path.suffix in SHOWN  # as it is
            typed = sound.typed(command, each.path)
            yield Job(each.name, "synet", typed, each.may_pass or served, first)


def yolo_jobs(
    yolo: str, strangers: Mapping[str, list[Stranger]], sound: Sound, step: int
) -> Iterator[Job]:
    """A sound file of each kind, and each `step`th stranger, through a command that runs a YOLO.

    Trainings take longest: a yaml is trained from where every file is taken. What is not there a
    YOLO looks for at home, as it does for anybody.
    """
    commands = {k: command for k, command in YOLOS[yolo].items() if k != "model" or step == 1}
    whole = [kind for kind in commands if (yolo, kind) != ("yolov5", "checkpoint")]
    typed = {kind: sound.typed(commands[kind], sound.of_kind(kind)) for kind in whole}
    first = next(iter(typed.values()))
    for kind, arguments in typed.items():
        yield Job(f"sound {kind}", "yolo", arguments, False, first)
    for kind, command in commands.items():
        for each in filter(lambda each: each.path.exists(), strangers[kind][::step]):
            yield Job(each.name, "yolo", sound.typed(command, each.path), True, first)


def fork_jobs(strangers: Iterable[Stranger]) -> Iterator[Job]:
    """Each stranger as a fork opens it in a patched process."""
    strangers = list(strangers)
    for way in FORKS[strangers[0].kind]:
        for each in strangers:
            if way != "ultralytics_val" or each.name.startswith("data "):
                yield Job(each.name, way, (str(each.path),), True)
