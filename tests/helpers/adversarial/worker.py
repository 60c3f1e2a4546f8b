"""Runs commands one after the other in one process, and tells what each of them did.

Started by `adversarial.watch` as a script. A job comes as a line of JSON on standard input, what
it did goes back as one on standard output: its status and what it printed, what it started,
connected to or wrote outside of its own folder, and how much time and memory it took.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import re
import resource
import sys
import tempfile
import time
import traceback
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STARTS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
STARTS |= {"subprocess.Popen", "pty.spawn", "os.startfile"}
CONNECTS = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
CONNECTS |= {"urllib.Request", "ftplib.connect", "http.client.connect", "smtplib.connect"}
CHANGES = {"os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod", "os.chown"}
MOVES = {"os.rename", "os.link", "os.symlink"}  # the second of two paths comes to be
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# by which a YOLO tells whether there is a network
ASKED = {"one.one.one.one", "dns.google", "github.com", "1.1.1.1", "8.8.8.8"}
CACHE = re.compile(r"\.cache(\.npy)?$")  # a YOLO keeps what it has read of labels
MOST_TOLD = 100_000  # letters
ROOM = 3 << 30  # of memory for a job: what asks for more is told, and does not end the machine
# what Python and the libraries look up of the machine when they are imported, and the compiler
HARMLESS = re.compile(
    r"['/](uname|ldconfig|lscpu|gcc|cc|ld|git|nvidia-smi|fc-list)'|ethosu\.vela"
    r"|synet\.tflite\.(trial|micro)"
    r"|'git -C "
)


class Watch:
    """An audit hook that notes what a job must not do, while `places` say where it may write."""

    def __init__(self) -> None:
        self.places: list[str] | None = None
        self.found: list[str] = []
        self.strangers = ""
        sys.addaudithook(self._see)

    def _see(self, event: str, told: tuple) -> None:
        if self.places is None:
            return
        if event == "open":
            path, _, flags = told
            if isinstance(flags, int) and flags & WRITING:
                self._written(event, path, -1)
        elif event in CHANGES:
            where = told[-1] if event in ("os.mkdir", "os.rmdir", "os.remove") else -1
            self._written(event, told[0], where)
        elif event in MOVES:
            self._written(event, told[1], told[-1])
        elif event in STARTS:
            if not HARMLESS.search(repr(told[:2])):
                self.found.append(f"started: {event} {told!r:.200}")
        elif event in CONNECTS and not (event == "socket.getaddrinfo" and told[0] in ASKED):
            self.found.append(f"connected: {event} {told!r:.200}")
        elif event == "ctypes.dlopen" and self.strangers in str(told[0]):
            self.found.append(f"loaded: {told[0]}")

    def _written(self, event: str, path: Any, folder: Any) -> None:
        if isinstance(path, int):
            return
        path = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        path = os.path.realpath(path)
        known = any(f"{path}/".startswith(f"{place}/") for place in self.places)
        if not known and not CACHE.search(path):
            self.found.append(f"wrote: {event} {path}")

    @contextlib.contextmanager
    def watching(self, places: list[str]) -> Iterator[list[str]]:
        """What is found within the block, where no more than `places` may be written to."""
        self.found = []
        self.places = [*(os.path.realpath(place) for place in places), "/dev"]
        try:
            yield self.found
        finally:
            self.places = None


class Closed(webbrowser.BaseBrowser):
    """A browser whose user ends the command that opens it: what is served is served until then."""

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:  # noqa: D102
        raise KeyboardInterrupt


def synet(*arguments: str) -> None:
    """A command, as the console script runs it."""
    webbrowser.register("closed", None, Closed(), preferred=True)
    sys.argv = ["synet", *arguments]
    importlib.import_module("synet.cli").main(list(arguments), prog_name="synet")


def yolo(*arguments: str) -> None:
    """A command that runs a YOLO, which says much of its own; it writes to this folder."""
    synet(*(word.replace("HERE", os.getcwd()) for word in arguments))


def torch_load(file: str) -> None:
    """As forks load a checkpoint, in a patched process."""
    importlib.import_module("torch").load(file, map_location="cpu", weights_only=False)


def yolov5_model(file: str) -> None:
    importlib.import_module("yolov5.models.yolo").Model(file)


def ultralytics_model(file: str) -> None:
    importlib.import_module("ultralytics.nn.tasks").DetectionModel(file, verbose=False)


def yolov5_data(file: str) -> None:
    importlib.import_module("yolov5.utils.general").check_dataset(file)


def ultralytics_data(file: str) -> None:
    importlib.import_module("ultralytics.data.utils").check_det_dataset(file)


def ultralytics_val(file: str, *options: str) -> None:
    """A fork that takes the data from the checkpoint."""
    model = importlib.import_module("ultralytics").YOLO(file)
    model.val(imgsz=64, workers=0, plots=False, project=os.getcwd())


def python(code: str) -> None:
    """Anything, to see that the watch sees it."""
    exec(compile(code, "<job>", "exec"), {})  # noqa: S102


WAYS: dict[str, Callable[..., None]] = {
    each.__name__: each
    for each in (
        *(synet, yolo, torch_load, yolov5_model, ultralytics_model),
        *(yolov5_data, ultralytics_data, ultralytics_val, python),
    )
}


@contextlib.contextmanager
def printed(told: dict[str, Any]) -> Iterator[None]:
    """Note what the block prints, that of C included."""
    files = {"out": tempfile.TemporaryFile(), "err": tempfile.TemporaryFile()}
    kept = [os.dup(1), os.dup(2)]
    for number, file in enumerate(files.values(), start=1):
        os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        for number, handle in enumerate(kept, start=1):
            os.dup2(handle, number)
            os.close(handle)
        for name, file in files.items():
            file.seek(0)
            text = file.read().decode("utf-8", "replace")
            told[name] = (
                text if len(text) < MOST_TOLD else text[: MOST_TOLD // 2] + text[-MOST_TOLD // 2 :]
            )
            file.close()


@contextlib.contextmanager
def measured(told: dict[str, Any]) -> Iterator[None]:
    """Note the time that the block takes, and by how much it makes the process grow."""
    gc.collect()
    gc.freeze()  # what the libraries made is looked through once, and not before each job
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is used now
    before, wall, busy = _kib("VmRSS"), time.monotonic(), time.process_time()
    resource.setrlimit(resource.RLIMIT_DATA, ((_kib("VmData") << 10) + ROOM, -1))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
        told["bytes"] = (_kib("VmHWM") - before) << 10
        # the smaller one: others may use the machine, and several threads may work at once
        told["seconds"] = min(time.monotonic() - wall, time.process_time() - busy)


def _kib(key: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[1])


@contextlib.contextmanager
def put_back() -> Iterator[None]:
    """The next job finds the process as this one did."""
    kept = sys.argv, sys.path[:], dict(os.environ), os.getcwd()
    try:
        yield
    finally:
        sys.argv, sys.path[:] = kept[:2]
        os.environ.clear()
        os.environ.update(kept[2])
        os.chdir(kept[3])


def do(job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Run a job; what it did."""
    told: dict[str, Any] = {"status": 0}
    before = set(sys.modules)
    with put_back(), printed(told):
        os.chdir(job["folder"])
        with measured(told), watch.watching([job["folder"], tempfile.gettempdir()]) as found:
            try:
                WAYS[job["way"]](*job["arguments"])
            except SystemExit as error:
                told["status"] = error.code if isinstance(error.code, int) else bool(error.code)
            except BaseException:
                told["status"] = 1
                traceback.print_exc()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if watch.strangers in str(file):
            found.append(f"imported: {file}")
    return told | {"found": found}


def main() -> None:
    """Read jobs until there are none."""
    options = json.loads(sys.argv[1])
    sys.argv = ["synet"]
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    watch = Watch()
    watch.strangers = options["strangers"]
    if options["patched"]:
        importlib.import_module("synet.patches.process").patch_custom(options["patched"])
    for name in options["modules"]:
        importlib.import_module(name)
    answers.write("ready\n")
    answers.flush()
    for line in jobs:
        answers.write(json.dumps(do(json.loads(line), watch)) + "\n")
        answers.flush()
        if not options["patched"]:
            importlib.import_module("synet.patches.process").unpatch()


if __name__ == "__main__":
    main()
