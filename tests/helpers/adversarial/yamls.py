"""Model and data yamls of strangers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from model_yaml import TWO_ROWS

SYNET = "synet: {{chip: katana, image_shape: [64, 96]}}\n"
MODEL = SYNET + TWO_ROWS.replace("{head}", "[nc, anchors]")
ROW = "[-1, 1, Conv, [16, 3, 2]]"
# nine lists of nine each, ten times: three and a half billion in all
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
DEEP = "[" * 20_000 + "]" * 20_000


def _rows(canary: Path, stranger: Path) -> dict[str, str]:
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    quoted, path = json.dumps(code), json.dumps(str(stranger))
    url = "http://example.invalid/model.onnx"
    return {
        "loader of a file": f"[-1, 1, DetectMultiBackend, [[{path}]]]",
        "loader of a URL": f"[-1, 1, DetectMultiBackend, [[{url}]]]",
        "loader of ultralytics": f"[-1, 1, AutoBackend, [[{path}]]]",
        "wrapper of a whole model": "[-1, 1, AutoShape, [8]]",
        "whole model": f"[-1, 1, DetectionModel, [{path}]]",
        "Ensemble": "[-1, 1, Ensemble, []]",
        "installer": "[-1, 1, check_requirements, [[stranger-package]]]",
        "installer of one": "[-1, 1, check_requirements, [stranger-package]]",
        "downloader": "[-1, 1, attempt_download, [[http://example.invalid/a.pt]]]",
        "safe downloader": "[-1, 1, safe_download, [http://example.invalid/a.pt]]",
        "maker of folders": f"[-1, 1, increment_path, [{json.dumps(str(canary))}]]",
        "loader of weights": f"[-1, 1, attempt_load, [{path}]]",
        "yaml saver": f"[-1, 1, yaml_save, [{json.dumps(str(canary))}]]",
        "builtin": f"[-1, 1, exec, [{quoted}]]",
        "builtin open": f"[-1, 1, open, [{json.dumps(str(canary))}, w]]",
        "module": "[-1, 1, os.system, [touch]]",
        "function of torch": f"[-1, 1, torch.load, [{path}]]",
        "function of nn": f"[-1, 1, nn.modules.module.sys.exit, [{quoted}]]",
        "class of nn that is none": f"[-1, 1, nn.Module.__subclasses__, [{quoted}]]",
        "dunder": "[-1, 1, Conv.__init__.__globals__, [8]]",
        "code for a name": f"[-1, 1, {quoted}, [8]]",
        "code as an argument": f"[-1, 1, Conv, [16, {quoted}]]",
        "code in a list": f"[-1, 1, Conv, [16, 3, [{quoted}]]]",
        "code six lists deep": f"[-1, 1, Conv, [16, 3, [[[[[[{quoted}]]]]]]]]",
        "code in a mapping": f"[-1, 1, Conv, [16, {{a: {quoted}}}]]",
        "code as a key": f"[-1, 1, Conv, [16, {{? {quoted} : 1}}]]",
        "code for the repeats": f"[-1, {quoted}, Conv, [16]]",
        "code for the source": f"[[{quoted}], 1, Conv, [16]]",
        "call of a known class": f"[-1, 1, Conv, [16, 3, 2, {json.dumps(f'nn.SiLU({code})')}]]",
        "tower of powers": "[-1, 1, Conv, [16, 9**9**9**9]]",
        "power in a list": "[-1, 1, Conv, [16, [9**9**9]]]",
        "long text": "[-1, 1, Conv, [16, '1' * 10**10]]",
        "product": "[-1, 1, Conv, [16, '[0] * 10**10']]",
        "brackets": f"[-1, 1, Conv, [16, {json.dumps('(' * 500 + ')' * 500)}]]",
        "many signs": f"[-1, 1, Conv, [16, {json.dumps('-' * 100_000 + '1')}]]",
        "channels without end": "[-1, 1, Conv, [1000000000, 3, 2]]",
        "kernel without end": "[-1, 1, Conv, [16, 100001, 2]]",
        "repeats without end": "[-1, 1000000000, Conv, [16, 3, 1]]",
        "repeats that are negative": "[-1, -5, Conv, [16, 3, 1]]",
        "repeats that are infinite": "[-1, .inf, Conv, [16, 3, 1]]",
        "channels that are NaN": "[-1, 1, Conv, [.nan, 3, 1]]",
        "stride of zero": "[-1, 1, Conv, [16, 3, 0]]",
        "source out of range": "[99, 1, Conv, [16, 3, 1]]",
        "source that is text": "[there, 1, Conv, [16, 3, 1]]",
        "source of nothing": "[[], 1, Concat, [1]]",
        "source that is itself": "[1, 1, Conv, [16, 3, 1]]",
        "row of three": "[-1, 1, Conv]",
        "row that is text": "Conv",
        "row that is nothing": "~",
        "name that is a number": "[-1, 1, 5, [16]]",
        "name that is a list": "[-1, 1, [Conv], [16]]",
        "arguments that are a number": "[-1, 1, Conv, 16]",
        "name with an escape": '[-1, 1, "\\e]0;gone\\a\\e[2J", [16]]',
        "argument with an escape": '[-1, 1, Conv, [16, "\\e[2Jx\\r"]]',
        "tag that calls": f"[-1, 1, Conv, [16, !!python/object/apply:eval [{quoted}]]]",
        "tag that names": "[-1, 1, Conv, [16, !!python/name:os.system ]]",
        "tag that makes": "[-1, 1, Conv, [16, !!python/object/new:os.system [touch]]]",
        "tag of a module": "[-1, 1, !!python/module:os , [16]]",
    }


def _heads(canary: Path) -> dict[str, str]:
    code = json.dumps(f"__import__('pathlib').Path({str(canary)!r}).touch()")
    return {
        "activation of code": f"activation: {code}",
        "classes of code": f"nc: {code}",
        "classes without end": "nc: 1000000000000",
        "classes that are negative": "nc: -3",
        "classes that are a list": "nc: [2]",
        "width of code": f"width_multiple: {code}",
        "width that is NaN": "width_multiple: .nan",
        "width without end": "width_multiple: 1.0e+12",
        "depth without end": "depth_multiple: 1.0e+12",
        "channels of the image without end": "ch: 1000000000",
        "anchors of code": f"anchors: {code}",
        "anchors without end": "anchors: 1000000000",
        "anchors of text": "anchors: [[a, b]]",
        "shape without end": "synet: {chip: katana, image_shape: [1000000000, 1000000000]}",
        "shape of text": "synet: {chip: katana, image_shape: [a, b]}",
        "chip that is a path": "synet: {chip: ../../../../etc/passwd, image_shape: [64, 96]}",
        "chip with an escape": 'synet: {chip: "\\e[2Jx", image_shape: [64, 96]}',
        "synet that is a list": "synet: [katana]",
        "scales of code": f"scales: {{n: [{code}, 1, 1]}}",
        "tag at the top": f"x: !!python/object/apply:eval [{code}]",
        "backbone that is text": "backbone: text",
        "backbone that is a number": "backbone: 5",
        "head that is a mapping": "head: {a: 1}",
    }


def write_models(folder: Path, canary: Path, stranger: Path) -> Iterator[tuple[str, Path]]:
    """Model yamls by what they try; the last of two equal keys counts in yaml."""
    plain = MODEL.format(more="", row=ROW)
    whole = {
        "alias bomb": ALIASES + plain,
        "alias bomb for rows": ALIASES + plain.replace("[16, 3, 2]", "*a9"),
        "merge bomb": "".join(
            f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9 if n else ['{a: 1}'])}]}}\n"
            for n in range(9)
        )
        + plain,
        "deep lists": f"deep: {DEEP}\n{plain}",
        "list that holds itself": f"loop: &loop [*loop]\n{plain}",
        "rows that hold themselves": plain.replace("[16, 3, 2]", "&loop [*loop]"),
        "two documents": f"{plain}\n---\n{plain}",
        "a list": "[1, 2, 3]",
        "a number": "5",
        "nothing": "",
        "no yaml": "{]",
        "tabs": "\t\t\tnc: 2",
        "zero bytes": "\0" * 100,
        "a thousand rows": plain.replace(f"  - {ROW}\n", f"  - {ROW}\n" * 1000),
        "number of a million digits": f"n: {'9' * 1_000_000}\n{plain}",
        "sexagesimal number": f"n: {':'.join(['59'] * 50_000)}\n{plain}",
        "date of the year 0": f"n: 0000-00-00\n{plain}",
    }
    whole |= {name: MODEL.format(more="", row=row) for name, row in _rows(canary, stranger).items()}
    for name, line in _heads(canary).items():
        key = line.partition(":")[0]
        kept = [each for each in plain.splitlines() if not each.startswith(f"{key}:")]
        if key in ("backbone", "head"):
            kept = plain[: plain.index("backbone:")].splitlines()
            kept += ["head: []", "backbone: []"]
            kept = [each for each in kept if not each.startswith(f"{key}:")]
        whole[name] = "\n".join([*kept, line]) + "\n"
    for at, (name, text) in enumerate(whole.items()):
        (folder / f"model-{at}.yaml").write_text(text)
        yield name, folder / f"model-{at}.yaml"
    (folder / "latin.yaml").write_bytes(plain.encode() + b"x: \xff\xfe\n")
    yield "no text", folder / "latin.yaml"
    (folder / "folder.yaml").mkdir()
    yield "a folder", folder / "folder.yaml"


def write_data(folder: Path, canary: Path, good: Path) -> Iterator[tuple[str, Path]]:
    """Data yamls by what they try; `good` holds images and labels of two classes."""
    code = f"open({str(canary)!r}, 'w').close()"
    plain = f"path: {good}\ntrain: images\nval: images\nnames: [circle, square, triangle]\n"
    missing = plain.replace("images", "missing")
    whole = {
        "downloads by Python": f"{missing}download: |\n  import os\n  {code}\n",
        "downloads by a line of Python": f"{missing}download: {json.dumps(code)}\n",
        "downloads by bash": f"{missing}download: bash touch {canary}\n",
        "downloads by a URL and more": f"{missing}download: http://example.invalid/a; ls\n",
        "downloads from a file": f"{missing}download: file:///etc/passwd\n",
        "downloads a list": f"{missing}download: [{json.dumps(code)}]\n",
        "downloads, and is there": f"{plain}download: |\n  import os\n  {code}\n",
        "alias bomb": ALIASES + plain,
        "names of an alias bomb": ALIASES + plain.replace("[circle, square, triangle]", "*a9"),
        "names that are a number": plain.replace("[circle, square, triangle]", "5"),
        "names of numbers": plain.replace("[circle, square, triangle]", "{0: [a], x: 5}"),
        "names of a far class": plain.replace("[circle, square, triangle]", "{1000000000: a}"),
        "names with an escape": plain.replace("circle", '"\\e]0;gone\\a\\e[2J"'),
        "names with a line end": plain.replace("circle", '"a\\nsynet: all is well"'),
        "names that turn": plain.replace("circle", '"\\u202egnp\\u2066"'),
        "ten million names": plain.replace("[circle, square, triangle]", "[" + "a," * 10_000 + "]"),
        "classes without end": f"{plain}nc: 1000000000000\n",
        "device for images": plain.replace("images", "/dev/zero"),
        "device for a list": plain.replace("val: images", "val: /dev/zero.txt"),
        "URL for images": plain.replace("images", "http://example.invalid/images"),
        "images that are a number": plain.replace("val: images", "val: 5"),
        "images that are a mapping": plain.replace("val: images", "val: {a: b}"),
        "path with a zero byte": plain.replace("images", '"a\\0b"'),
        "path with an escape": plain.replace("images", '"\\e[2Jx"'),
        "path of ten thousand letters": plain.replace("images", "x" * 10_000),
        "path that climbs": plain.replace("val: images", f"val: {'../' * 50}etc"),
        "path that is a list": plain.replace(str(good), "[a, b]"),
        "keypoints without end": f"{plain}kpt_shape: [1000000000, 3]\n",
        "keypoints of text": f"{plain}kpt_shape: [a, b]\n",
        "tag that calls": f"{plain}x: !!python/object/apply:eval [{json.dumps(code)}]\n",
        "tag that names": f"{plain}x: !!python/name:os.system\n",
        "deep lists": f"deep: {DEEP}\n{plain}",
        "list that holds itself": plain.replace("[circle, square, triangle]", "&x [*x]"),
        "a list": "[1, 2]",
        "nothing": "",
        "no yaml": "{]",
    }
    for at, (name, text) in enumerate(whole.items()):
        (folder / f"data-{at}.yaml").write_text(text)
        yield name, folder / f"data-{at}.yaml"
    listed = folder / "listed.yaml"
    (folder / "list.txt").write_text(
        "/dev/zero\n/etc/passwd\n\x1b[2J.jpg\nhttp://example.invalid/a.jpg\n"
    )
    listed.write_text(plain.replace("val: images", f"val: {folder / 'list.txt'}"))
    yield "list of devices", listed
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "loop.yaml").write_text(plain.replace("val: images", f"val: {folder / 'itself.txt'}"))
    yield "list that is a link to itself", folder / "loop.yaml"


# Sound but for a name that is shown as text, or a key that nobody reads
MAY_PASS = {
    *("downloads, and is there", "names with an escape", "names with a line end"),
    *("names that turn", "ten million names", "classes without end", "alias bomb", "deep lists"),
    *("path that climbs", "keypoints without end", "list that is a link to itself"),
    *("two documents", "list that holds itself", "number of a million digits"),
    *("sexagesimal number", "date of the year 0", "merge bomb", "activation of code"),
    *("a thousand rows", "repeats that are negative", "no text"),
}
