"""The page of a small model, made as a user makes it, and looked at in a real browser."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import int8_models
import pytest
import tiny_ultralytics as tiny
from click.testing import CliRunner
from compilers import asking
from patched import patched_fork

from synet.chips import get_chip
from synet.cli import main
from synet.custom_patches import unpatch
from synet.data.drawn_shapes import NAMES, draw_dataset
from synet.evaluation.chance import Change
from synet.evaluation.evaluate import evaluate
from synet.inspection.profile import profile
from synet.models.locate import installed
from synet.quantize import quantize_model
from synet.report import gather, sections, write_report
from synet.report.charts import COLOURS, LIGHT
from synet.report.operating import ALL
from synet.report.page import MARK, Content, render
from synet.report.sections import MEAN, Accuracy, Missing
from synet.system.errors import DataError, SynetError
from synet.tflite.model import TfliteModel, embed_metadata, read_metadata

IMAGES = 5
WIDE, PHONE = (1280, 900), (360, 740)
NARROW = (390, 844)  # a phone of these years; nothing is cut there
CHARTS = {"memory", "cost", "errors", "curves"}
EVIL = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\"'&amp;{{7*7}}"
FLAGS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-dev-shm-usage "
    "disable-background-networking disable-component-update disable-sync"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """``tiny.pt``, ``tiny.tflite`` that is made of it, and ``data/data.yaml``."""
    folder = tmp_path_factory.mktemp("tiny model, größer")
    data = draw_dataset(folder / "data", train=1, val=IMAGES, test=2, shape=(128, 192))
    patched_fork(installed("ultralytics"), "sabre")
    network = tiny.network("detect")
    network.args["imgsz"] = list(tiny.SHAPE)
    checkpoint = tiny.save(network, folder / "tiny.pt")
    quantize_model(checkpoint, data, number=2, force=True, progress=False)
    yield folder
    unpatch()


@pytest.fixture(scope="module")
def page(folder) -> Path:
    """What the command writes, in ``report.html``."""
    arguments = ["report", folder / "tiny.pt", "--data", folder / "data" / "data.yaml"]
    arguments += ["--images", 2, "--out", folder / "report.html"]
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith(
        f"wrote {folder / 'report.html'}: tiny.tflite fits sabre, float mAP50-95"
    )
    return folder / "report.html"


@pytest.fixture(scope="module")
def content(folder, page) -> Content:
    """The same as data; the page is there so that whatever is slow happens once."""
    return gather(folder / "tiny.tflite", folder / "data" / "data.yaml", images=2, progress=False)


# --- what it tells -------------------------------------------------------------------------------


def test_its_figures_are_those_of_the_other_commands(content, folder):
    for kind, file in (("float", "tiny.pt"), ("int8", "tiny.tflite")):
        told, other = (
            content.models[kind],
            evaluate(
                folder / file, folder / "data" / "data.yaml", image_shape=tiny.SHAPE, progress=False
            ),
        )
        assert (told.map50, told.map50_95) == (other.map50, other.map50_95)
        assert told.per_class == other.per_class
        assert (told.images, told.boxes) == (other.images, other.boxes)
    assert content.shift.matched > 0
    assert (content.shift.mean, content.shift.objects) == (other.shift.mean, other.shift.objects)
    assert any(each.lost_db < 60 for each in content.errors.layers)
    assert len(content.errors.images) == 2
    assert len(content.gallery) == IMAGES
    apart = [exhibit.disagreement.value for exhibit in content.gallery]
    assert apart == sorted(apart, reverse=True) and apart[0] > 0
    assert len(content.mistakes) == IMAGES
    assert [each.title for each in content.mistakes[0].pictures] == ["ground truth", "int8"]
    told = content.made["Embedded in the model"]
    assert told["names"] == ", ".join(NAMES)
    assert told["producer"] == read_metadata(folder / "tiny.tflite")["producer"]


def test_what_chance_leaves_of_a_change_and_where_to_use_the_model(content):
    change = content.changes[MEAN]
    float_, int8 = (content.models[kind] for kind in ("float", "int8"))
    assert change.value == pytest.approx(int8.map50_95 - float_.map50_95, abs=1e-12)
    assert change.images == IMAGES and change.is_chance  # so few
    for name, (_, ap50_95) in int8.per_class.items():
        gain = ap50_95 - float_.per_class[name][1]
        assert content.changes[name].value == pytest.approx(gain, abs=1e-12)
        assert int8.lines[name].labels == content.operating.scores["int8"][name].labels
    assert int8.lines[MEAN].labels == int8.boxes == content.operating.scores["float"][ALL].labels


def test_the_interface_is_that_of_the_file(content, folder):
    told, model = content.interface, TfliteModel(folder / "tiny.tflite")
    assert told.input.port == model.input and told.input.port.shape == (1, *tiny.SHAPE, 3)
    assert tuple(each.port for each in told.outputs) == model.outputs
    assert {each.port.name for each in told.outputs} == {"x1y1", "x2y2", "scores"}


def test_precision_is_told_in_fractions_as_in_a_terminal(content):
    text = render(content).partition("<script")[0]
    for accuracy in content.models.values():
        assert f">{accuracy.map50_95:.3f}</span>" in text
        for name, values in accuracy.per_class.items():
            assert name in text and all(f">{value:.3f}</span>" in text for value in values)
    assert "points" not in text and "within chance for so few images" in text


def test_without_a_float_model_it_says_what_is_missing(folder, tmp_path):
    shutil.copy(folder / "tiny.tflite", tmp_path / "alone.tflite")
    told = write_report(
        tmp_path / "alone.tflite",
        folder / "data" / "data.yaml",
        tmp_path / "out" / "page.html",
        chip="katana",
        progress=False,
    )
    assert isinstance(told.errors, Missing) and "--float PT" in told.errors.reason
    assert list(told.models) == ["int8"]
    assert not told.verdict.fits and told.verdict.frames_per_second is None
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert told.errors.reason.split(":")[0] in text
    assert "does not fit" in text and "not public" in text
    assert told.gallery == () and told.changes is None
    assert [each.title for each in told.mistakes[0].pictures] == ["ground truth", "int8"]
    assert list(told.operating.scores) == ["int8"]
    assert 'id="gallery"' not in text and 'id="mistakes"' in text


@pytest.mark.slow
def test_the_compiler_that_is_named_judges(folder, tmp_path):
    sabre = get_chip("sabre")
    chips = [asking(sabre, version) for version in ("4.3", "5.2")]
    file = shutil.copy(folder / "tiny.tflite", tmp_path / "alone.tflite")
    out = tmp_path / "other.html"
    arguments = ["report", file, "--data", folder / "data" / "data.yaml", "--compiler", "4.3"]
    result = CliRunner().invoke(main, [str(each) for each in [*arguments, "--out", out, "--json"]])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["judge"] == f"Vela 4.3.0, the compiler of {sabre.title}"
    text = out.read_text().partition("<script")[0]
    other, first = (profile(file, chip).compiled for chip in chips)
    assert other.cycles != first.cycles
    assert f"{1e3 * other.seconds:.2f} ms an image on the chip" in text
    assert "Judged by Vela 4.3.0" in text and "Vela 5.2" not in text
    assert "<dt>Vela</dt><dd>4.3.0</dd>" in text


@pytest.mark.parametrize("kernels", ["reference", "fast"])
def test_a_file_that_the_reference_kernels_do_not_run(kernels, folder, tmp_path, caplog):
    """The page is made, and says so."""
    _, content = int8_models.tiled()
    (tmp_path / "tiled.tflite").write_bytes(embed_metadata(content, {"names": [*NAMES]}))
    arguments = ["report", tmp_path / "tiled.tflite", "--data", folder / "data" / "data.yaml"]
    arguments += ["--kernels", kernels, "--out", tmp_path / "page.html"]
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    (warning,) = (each for each in caplog.messages if "'TILE'" in each)
    assert "tiled.tflite does not run on the reference kernels" in warning
    told = "fast kernels, as the reference kernels do not run the file"
    assert f"<dt>int8 ran on</dt><dd>{told}</dd>" in (tmp_path / "page.html").read_text()


def test_a_pt_beside_it_that_is_no_twin_is_told_in_the_page(folder, tmp_path):
    shutil.copy(folder / "tiny.tflite", tmp_path)
    (tmp_path / "tiny.pt").write_text("no checkpoint")
    arguments = tmp_path / "tiny.tflite", folder / "data" / "data.yaml"
    told = gather(*arguments, progress=False)
    assert isinstance(told.errors, Missing) and "tiny.pt" in told.errors.reason
    with pytest.raises(SynetError, match=r"tiny\.pt"):
        gather(*arguments, float_model=tmp_path / "tiny.pt", progress=False)


def test_a_file_of_random_images_has_a_red_banner(content, folder, tmp_path):
    """And the confidence shift is told in red where it is far."""
    headline = 'class="card bad" id="shift"'
    plain = render(dataclasses.replace(content, shift=dataclasses.replace(content.shift, mean=0)))
    assert content.doubt == "" and 'class="banner"' not in plain and headline not in plain
    made = (folder / "tiny.tflite").read_bytes()
    told = read_metadata(made) | {"calibration": {"source": "random images"}}
    doubt = sections.doubt(embed_metadata(made, told))
    assert doubt == "Calibrated on random images: good to look at, and not to be used"
    far = dataclasses.replace(content.shift, mean=0.2298, matched=3)
    text = render(dataclasses.replace(content, doubt=doubt, shift=far))
    assert f'<p class="banner" role="alert">{doubt}.</p>' in text
    assert headline in text and ">0.2298</p>" in text and "More than" in text
    for shift, said in ((None, "not measured"), (dataclasses.replace(far, matched=0), "unknown")):
        text = render(dataclasses.replace(content, shift=shift))
        assert f'<p class="big quiet">{said}</p>' in text


# --- mistakes, and files of others ---------------------------------------------------------------


def test_images_that_show_no_class_of_the_model(content):
    nothing = Accuracy(math.nan, math.nan, {}, {}, images=5, boxes=0)
    empty = dataclasses.replace(
        content,
        models={"float": nothing, "int8": nothing},
        changes={MEAN: Change(math.nan, math.nan, math.nan, 5)},
        operating=None,
    )
    text = render(empty)
    assert "There is none: nothing that int8 finds is right." in text
    assert "No image of the val split shows a class that the model finds." in text
    assert 'id="chart-curves"' not in text
    words = re.sub(r'"data:[^"]*"', "", text.partition("<script")[0])
    assert not re.findall(r"\bnan\b", words)


def test_what_is_no_model_to_report_on(folder, tmp_path):
    shutil.copy(folder / "tiny.pt", tmp_path)
    data = folder / "data" / "data.yaml"
    for model, said in (
        ("tiny.pt", r"tiny\.tflite: not there yet; make it first: synet quantize --weights"),
        ("none.tflite", "none.tflite: no such file"),
        ("model.onnx", "model.onnx: expected a .tflite file"),
    ):
        with pytest.raises(SynetError, match=said):
            write_report(tmp_path / model, data, tmp_path / "page.html")
    (tmp_path / "float.tflite").write_bytes(int8_models.not_quantized())
    with pytest.raises(SynetError, match=r"no vela '4\.4' is known for sabre; its file lists 5\.2"):
        write_report(folder / "tiny.tflite", data, tmp_path / "page.html", compiler="4.4")
    with pytest.raises(SynetError, match=r"float\.tflite is not quantized; make an int8 file"):
        write_report(tmp_path / "float.tflite", data, tmp_path / "page.html")
    (tmp_path / "float.tflite").unlink()
    with pytest.raises(DataError, match=r"none\.yaml"):
        write_report(folder / "tiny.tflite", tmp_path / "none.yaml", tmp_path / "page.html")
    with pytest.raises(SynetError, match="did you mean katana"):
        write_report(
            folder / "tiny.tflite", data, tmp_path / "page.html", chip="katan", progress=False
        )
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.pt"]


def test_a_file_of_somebody_else_is_refused_before_any_work(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>mine, about synet</p>")
    with pytest.raises(SynetError, match="SyNet did not make it; move it, or give --out"):
        write_report("none.tflite", "none.yaml", page)
    with pytest.raises(SynetError, match="is a folder"):
        write_report("none.tflite", "none.yaml", tmp_path)
    with pytest.raises(SynetError, match="cannot write .*below.html: .*page.html is a file"):
        write_report("none.tflite", "none.yaml", page / "more" / "below.html")
    assert page.read_text() == "<p>mine, about synet</p>"


def test_a_page_of_ours_is_replaced_whole(page, content, folder):
    assert MARK in page.read_text(encoding="utf-8")[:2048]
    before = page.stat().st_ino
    write_report(
        *(folder / "tiny.tflite", folder / "data" / "data.yaml", page),
        images=1,
        progress=False,
    )
    assert page.stat().st_ino != before
    assert not list(folder.glob(".report-*"))


def test_nothing_in_it_leads_outside(page):
    text = page.read_text(encoding="utf-8")
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "http:" not in ours and "https:" not in ours
    assert not re.findall(r"(?:src|href)=\"(?!data:)", ours)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "'unsafe-inline'; script-src 'sha256-" in policy


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with its chromedriver is installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS.split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('browser')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def prefer(browser, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def show(browser, page: Path, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
    """Open a page, and wait until its charts are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", metrics | {"mobile": size != WIDE}
    )
    prefer(browser, scheme)
    for log in ("browser", "performance"):
        browser.get_log(log)  # what was before
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(
        lambda driver: driver.execute_script("return document.body.classList.contains('drawn')")
    )


def drawn(browser) -> dict[str, int]:
    """By the name of each chart, how many bars or lines its picture shows."""
    return browser.execute_script(
        """return Object.fromEntries([...document.querySelectorAll('.chart')].map(chart =>
        [chart.id.replace('chart-', ''),
         [...chart.querySelectorAll('.cartesianlayer .point > path, .cartesianlayer .js-line')]
           .filter(each => each.getTotalLength() > 0).length]))"""
    )


def colour(browser, selector: str, name: str) -> str:
    script = """const [selector, name] = arguments;
        return getComputedStyle(document.querySelector(selector))[name]"""
    red, green, blue = re.findall(r"\d+", browser.execute_script(script, selector, name))[:3]
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_page_is_whole(browser, page, content, size, scheme):
    show(browser, page, size, scheme)
    counts = drawn(browser)
    assert counts.keys() == CHARTS | ({"trades"} if content.trades else set())
    assert counts["memory"] == sum(layer.alive_bytes > 0 for layer in content.layers)
    assert counts["cost"] == sum(layer.cycles > 0 for layer in content.layers)
    assert counts["errors"] >= 2
    assert counts["curves"] == 2
    width, inside = browser.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth]"
    )
    assert width <= inside == size[0]
    ground = COLOURS["paper"][scheme == "dark"]
    assert colour(browser, "body", "backgroundColor") == ground
    assert colour(browser, ".ytick text", "fill") == COLOURS["quiet"][scheme == "dark"]
    assert contrast(COLOURS["quiet"][scheme == "dark"], ground) > 4.5
    assert browser.get_log("browser") == []


def test_no_chart_is_clipped(browser, page):
    for size in (WIDE, PHONE):
        show(browser, page, size)
        outside = browser.execute_script(
            """return [...document.querySelectorAll('.chart')].flatMap(chart => {
              const box = chart.getBoundingClientRect();
              const texts = '.g-xtitle, .g-ytitle, .xtick, .ytick, .annotation';
              return [...chart.querySelectorAll(texts)]
                .map(each => [chart.id, each.textContent, each.getBoundingClientRect()])
                .filter(([, , r]) => r.width && (r.left < box.left - 1 || r.right > box.right + 1
                                     || r.top < box.top - 1 || r.bottom > box.bottom + 1))
                .map(([id, text]) => `${id}: ${text}`)})"""
        )
        assert outside == []


def test_on_a_phone_every_column_and_every_picture_is_in_sight(browser, page):
    show(browser, page, NARROW)
    cut = browser.execute_script(
        """return [...document.querySelectorAll('.scroll, .pictures')]
        .filter(each => each.scrollWidth > each.clientWidth)
        .map(each => each.getAttribute('aria-label'))"""
    )
    assert cut == []
    left, width = browser.execute_script(
        """const boxes = [...document.querySelectorAll('#gallery .pictures img')].slice(0, 3)
        .map(each => each.getBoundingClientRect());
        return [new Set(boxes.map(box => box.left)).size, boxes[0].width]"""
    )
    assert left == 1 and width > 0.9 * NARROW[0]  # one below the other, as wide as the page


def test_charts_answer_to_the_mouse_in_colours_that_can_be_read(browser, page, content):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    names = {layer.name for layer in content.layers}
    for scheme in ("light", "dark"):
        show(browser, page, scheme=scheme)
        for chart, said in (("memory", "KiB in memory"), ("cost", "cycles"), ("errors", " dB")):
            plot = browser.find_element("css selector", f"#chart-{chart} .nsewdrag")
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
            ActionChains(browser).move_to_element_with_offset(plot, 30, 20).perform()
            label = WebDriverWait(browser, 10).until(
                lambda driver, chart=chart: driver.find_elements(
                    "css selector", f"#chart-{chart} .hoverlayer .hovertext"
                )
            )[0]
            assert said in label.text
            assert any(name in label.text for name in names), label.text
            selector = f"#chart-{chart} .hoverlayer .hovertext"
            ground = colour(browser, f"{selector} path", "fill")
            ink = colour(browser, f"{selector} text", "fill")
            assert contrast(ink, ground) > 4.5
            assert ground == COLOURS["paper"][scheme == "dark"]


def test_the_reader_may_change_to_the_dark_while_it_is_open(browser, page):
    from selenium.webdriver.support.ui import WebDriverWait

    show(browser, page, scheme="light")
    choice = browser.find_element("id", "class")
    choice.find_elements("tag name", "option")[2].click()
    prefer(browser, "dark")
    for role, selector, name in (
        ("quiet", ".ytick text", "fill"),
        ("int8", "#chart-curves .scatterlayer .trace:nth-child(2) .js-line", "stroke"),
        ("bar", "#chart-cost .cartesianlayer .point > path", "fill"),
    ):
        WebDriverWait(browser, 10).until(
            lambda driver, args=(selector, name), dark=COLOURS[role][1]: (
                colour(driver, *args) == dark
            )
        )
    shown = browser.execute_script(
        """return document.getElementById('chart-curves').data
        .filter(trace => trace.visible).map(trace => [trace.name, trace.meta])"""
    )
    assert shown == [["float", 2], ["int8", 2]]  # the class that was chosen


def test_every_picture_of_the_gallery_is_there(browser, page):
    from selenium.webdriver.support.ui import WebDriverWait

    show(browser, page, PHONE)
    images = browser.find_elements("css selector", "#gallery img")
    assert len(images) == 3 * IMAGES
    for image in images:
        browser.execute_script("arguments[0].scrollIntoView()", image)
        WebDriverWait(browser, 10).until(
            lambda _, image=image: image.get_property("naturalWidth") == 192
        )
        assert image.get_attribute("alt").partition(" on ")[0] in {"ground truth", "float", "int8"}


def test_it_asks_the_network_for_nothing_and_may_not(browser, page):
    show(browser, page)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked[:1] == [page.as_uri()]
    assert [url for url in asked[1:] if not url.startswith("data:")] == []
    refused = browser.execute_async_script(
        """const done = arguments[0], refused = [];
        document.addEventListener('securitypolicyviolation', event => {
          refused.push(event.effectiveDirective);
          if (refused.length === 3) done(refused.sort());
        });
        fetch('http://127.0.0.1:9/').catch(() => {});
        document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}));
        const script = document.createElement('script');
        script.textContent = 'window.pwned = 1';
        document.body.append(script);"""
    )
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert browser.execute_script("return window.pwned") is None
    browser.get_log("browser")


def test_names_of_others_are_text_and_nothing_else(browser, content, tmp_path):
    """Of the model, its layers, the classes, the images, and whatever is embedded."""
    layers = tuple(
        dataclasses.replace(layer, name=f"{EVIL}{at}", short=f"<b>{at}</b>")
        for at, layer in enumerate(content.layers)
    )
    errors = dataclasses.replace(
        content.errors,
        layers=tuple(dataclasses.replace(e, layer=EVIL) for e in content.errors.layers),
    )

    def renamed(accuracy):
        return dataclasses.replace(
            accuracy,
            per_class={EVIL + name: value for name, value in accuracy.per_class.items()},
            lines={EVIL + name: value for name, value in accuracy.lines.items()},
        )

    def evil_names(of_class):
        return {name if name in (ALL, MEAN) else EVIL + name: v for name, v in of_class.items()}

    tensor = content.interface.input
    interface = dataclasses.replace(
        content.interface,
        input=dataclasses.replace(tensor, port=dataclasses.replace(tensor.port, name=EVIL)),
    )
    scores = {kind: evil_names(each) for kind, each in content.operating.scores.items()}
    first, *rest = content.gallery
    evil = dataclasses.replace(
        content,
        title=EVIL,
        split=EVIL,
        layers=layers,
        held=[(EVIL, 1)],
        errors=errors,
        models={kind: renamed(accuracy) for kind, accuracy in content.models.items()},
        changes=evil_names(content.changes),
        operating=dataclasses.replace(content.operating, scores=scores),
        gallery=(dataclasses.replace(first, name=EVIL), *rest),
        interface=interface,
        made={EVIL: {EVIL: EVIL}},
    )
    page = tmp_path / "evil.html"
    page.write_text(render(evil), encoding="utf-8")
    show(browser, page)
    assert browser.execute_script("return window.pwned") is None
    assert browser.find_element("tag name", "h1").get_property("textContent") == EVIL
    assert browser.find_element("css selector", "dd").get_property("textContent") == EVIL
    assert browser.find_elements("css selector", "img[src=x]") == []
    assert drawn(browser)["curves"] == 2
    ticks = browser.find_elements("css selector", "#chart-cost .xtick text")
    assert ticks and all("<b>" in tick.text for tick in ticks)
    assert browser.get_log("browser") == []


def contrast(one: str, other: str) -> float:
    """Of two colours, as the web's guidelines for accessibility have it: 1 to 21."""
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(hexadecimal: str) -> float:
    parts = [int(hexadecimal[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_can_be_read_on_its_ground(dark):
    shades = {name: pair[dark] for name, pair in COLOURS.items()}
    for name in ("ink", "quiet", "float", "int8", "limit", "good", "peak", "own", "accumulated"):
        assert contrast(shades[name], shades["paper"]) > 4.5
    assert contrast(shades["good"], shades["good-ground"]) > 4.5
    assert contrast(shades["limit"], shades["bad-ground"]) > 4.5
    assert len(set(LIGHT.values())) == len(LIGHT)  # each has a dark twin of its own
