"""The page of results directories: what it says, what cannot act in it, and that a browser shows and filters it."""

import base64
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from nashgames.analysis.outcomes import quantiles
from nashgames.cli.main import app
from nashgames.errors import NashGamesError
from nashgames.experiments import runner
from nashgames.experiments.choice import untuned
from nashgames.experiments.experiment import Experiment
from nashgames.reporting import write
from nashgames.reporting.compare import differences
from nashgames.reporting.curves import curves_of
from nashgames.store import Results
from tests.browser import CHROMIUM, Browser
from tests.stored import Disk, fill, rows

ROOT = Path(__file__).resolve().parents[1]
EVIL = "</script><script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=2>"


SEEN = """function seen(node) {
    if (node.nodeType === 3) return node.data
    const own = node.tagName === "SCRIPT" || node.id === "main" ? [] : node.childNodes
    return [...own, ...(node.shadowRoot?.childNodes ?? [])].map(seen).join("")
}"""
"""What a page shows outside its own text: Bokeh's tooltips are in shadow roots."""


class Page(HTMLParser):
    """The elements of a page by tag, each with its attributes and text; entities are read as a browser does."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text, self._open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])
        if tag not in ("meta", "img", "input", "link", "br"):
            self._open.append(self.found[-1])

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self._open:
            element[2] += data
        if not any(element[0] in ("script", "style") for element in self._open):
            self.text += data

    def of(self, tag, **wanted):
        return [each for each in self.found if each[0] == tag and wanted.items() <= each[1].items()]

    @property
    def data(self):
        [(_, _, text)] = self.of("script", id="data")
        return json.loads(text)


def page_of(*directories, out=None):
    return Page(write(directories, out).path.read_text(encoding="utf-8"))


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without figures, whose drawing takes longer than all the rest of a page."""
    monkeypatch.setattr("nashgames.reporting.gather._drawn", lambda gathered: [])


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A small grid, and one of the same runs with a smaller budget, one solver fewer and one more."""
    folder = tmp_path_factory.mktemp("played")
    common = [
        "sweep",
        "--game",
        "disc,random-logits",
        "-n",
        "5,7",
        "--beta",
        "1,0.1",
        "--seeds",
        "2",
        "--no-plot",
        "--quiet",
    ]
    for name, solvers, queries in (("a", "nash-mp,online-ipo", "200"), ("b", "nash-mp,mirror-descent", "20")):
        given = [*common, "--solver", solvers, "--queries", queries, "--out", str(folder / name)]
        assert CliRunner().invoke(app, given).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def alone(played):
    """The page of one of them, whose figures are drawn for it, and what the command said of it."""
    told = CliRunner().invoke(app, ["report", str(played / "a"), "--json"])
    assert told.exit_code == 0, told.output
    said = json.loads(told.stdout)
    return Page(Path(said["report"]).read_text(encoding="utf-8")), said


@pytest.fixture(scope="module")
def beside(played):
    """The file of the page of both."""
    return write([played / "a", played / "b"], played / "both.html").path


def test_the_page_says_what_was_run_and_what_came_of_it(alone):
    page, told = alone
    assert (told["runs"], told["directories"]) == (32, ["a"])
    assert told["bytes"] == Path(told["report"]).stat().st_size
    assert [each[2] for each in page.of("h1")] == ["a"]
    for said in (
        "disc",
        "random-logits",
        "nash-mp",
        "online-ipo",
        "cyclic triples",
        "theory",
        'game = ["disc", "random-logits"]',
    ):
        assert said in page.text
    assert "nashgames sweep --game disc,random-logits" in page.text
    # Four games at their n have heat maps, and the figures of a directory that holds none are drawn.
    pictures = [base64.b64decode(each[1]["src"].partition(",")[2]) for each in page.of("img")]
    assert len(pictures) > 4 and all(b"<svg" in picture for picture in pictures)
    assert all(each[1]["alt"] for each in page.of("img"))
    assert page.text.count("equilibrium") >= 4
    data = page.data
    assert data["runs"]["total"] == 32 and len(data["runs"]["rows"]) == 32
    assert data["summary"]["total"] == 16
    assert {each["name"] for each in data["curves"]["keys"]} == {"game", "n", "beta"}
    assert (data["axis"], data["metric"]) == ("queries", "suboptimality")
    assert [profile["standings"][0]["method"] for profile in data["profiles"]] != []


def test_everything_is_in_the_file(alone):
    page, _ = alone
    assert not page.of("link") and not [each for each in page.of("script") if "src" in each[1]]
    assert all(each[1]["src"].startswith("data:") for each in page.of("img"))
    [policy] = page.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[1]["content"].startswith("default-src 'none'")
    # Scripts are named by their hashes: no other runs, and no attribute of an element.
    allowed = re.search("script-src ([^;]*)", policy[1]["content"])[1]
    assert "unsafe" not in allowed and allowed.count("sha256-") == len(page.of("script")) - 1


def test_a_page_can_be_used_without_a_mouse(beside):
    page = Page(beside.read_text(encoding="utf-8"))
    assert [each[1].get("lang") for each in page.of("html")] == ["en"]
    assert all(each[1].get("scope") for each in page.of("th"))
    labels = [each for each in page.found if each[1].get("tabindex") == "0"]
    assert labels and all(each[1].get("aria-label") or each[0] == "pre" for each in labels)
    assert all(each[1].get("type") == "button" for each in page.of("button"))


def test_medians_and_bands_are_those_of_the_analysis(played):
    results = Results.read(played / "a")
    runs, curves = (frame.assign(directory="a") for frame in (results.last_runs, results.curves))
    told = curves_of(runs, curves)
    numbers = np.frombuffer(base64.b64decode(told["numbers"]), "<f4")
    metrics, axes = ([each["name"] for each in told[name]] for name in ("metrics", "axes"))
    assert set(axes) == {"queries", "step", "seconds"}
    at = 0
    for group in told["groups"]:
        block = numbers[at : (at := at + group["points"] * (len(axes) + 3 * len(metrics)))].reshape(-1, group["points"])
        values = {key["name"]: key["values"][place] for key, place in zip(told["keys"], group["cell"], strict=True)}
        label = told["methods"][group["method"]]["label"]
        mine = runs[(runs["game"] == values["game"]) & (runs["n"] == int(values["n"])) & (runs["label"] == label)]
        mine = mine[mine["beta"] == float(values["beta"])]
        assert group["runs"] == len(mine) == 2
        steps = block[axes.index("step")]
        points = curves[curves["run_id"].isin(mine["run_id"])]
        first = points[points["step"] == steps[0]].sort_values("run_id")
        low, median, high = quantiles(first["suboptimality"].to_numpy(), (0.1, 0.5, 0.9))
        row = len(axes) + 3 * metrics.index("suboptimality")
        assert block[row : row + 3, 0] == pytest.approx([median, low, high], rel=1e-6)
        assert (np.diff(steps) > 0).all() and group["points"] <= told["most"]
    assert at == len(numbers)


def test_a_diverged_seed_is_worse_than_every_other_and_a_single_run_has_no_band():
    frames = [rows(name, value) for name, value in (("one", 0.25), ("two", 0.5), ("three", 0.75))]
    runs, curves = (pd.concat([each[name] for each in frames]).assign(directory="d") for name in ("runs", "curves"))
    runs["seed"], runs.loc[runs["run_id"] == "one", "status"] = [0, 1, 2], "diverged"
    told = curves_of(runs, curves)
    numbers = np.frombuffer(base64.b64decode(told["numbers"]), "<f4").reshape(-1, told["groups"][0]["points"])
    median, low, high = numbers[len(told["axes"]) : len(told["axes"]) + 3]
    assert (median[0], low[0], high[0]) == (0.5, 0.25, 0.75)
    assert (median[-1], low[-1], high[-1]) == (0.75, 0.5, np.inf)
    assert told["groups"][0]["diverged"] == 1
    [alone] = curves_of(runs[runs["run_id"] == "two"], curves)["groups"]
    assert not alone["bands"]


def test_many_curves_are_thinned_and_keep_their_ends():
    first = rows("r")
    runs = first["runs"].assign(directory="d")
    curves = pd.concat([first["curves"].iloc[:1]] * 5000, ignore_index=True)
    curves = curves.assign(directory="d", step=range(5000), queries=range(0, 10_000, 2))
    told = curves_of(runs, curves)
    [group] = told["groups"]
    steps = np.frombuffer(base64.b64decode(told["numbers"]), "<f4").reshape(-1, group["points"])
    steps = steps[[axis["name"] for axis in told["axes"]].index("step")]
    assert group["points"] == told["most"] < 200 and (steps[0], steps[-1]) == (0, 4999)


@pytest.fixture
def hostile(tmp_path):
    """A directory whose labels, settings, file names and figures try to act in the page."""
    directory = tmp_path / "hostile"
    frames = rows("r")
    for name in ("runs", "curves"):
        frames[name] = frames[name].assign(game=EVIL, solver=EVIL, reference=EVIL)
    frames["runs"] = frames["runs"].assign(label=EVIL, selection=EVIL, step_source=EVIL)
    frames["runs"]["hyperparameters"] = json.dumps({EVIL: EVIL})
    frames["policies"] = frames["policies"].assign(label=[EVIL + str(i) for i in range(3)])
    with Results.open(directory) as results:
        results.begin({"name": EVIL}, ["r"], {"command": EVIL, "versions": {EVIL: EVIL}, "cpu": EVIL})
        results.add(**frames)
        results.manifest["figures"] = ["evil.svg"]
        results.flush()
    (directory / "evil.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg' onload='hacked=3'>{EVIL}</svg>")
    (directory / "evil.txt").write_text(EVIL)
    return directory


def test_labels_stay_text(hostile):
    page = page_of(hostile)
    assert [each[1].get("id") or each[1].get("type") for each in page.of("script")] == ["data", None, None, None, None]
    assert not [each for each in page.found if set(each[1]) & {"onerror", "onload"}]
    assert EVIL in page.text
    assert EVIL in json.dumps(page.data, ensure_ascii=False).replace("\\", "")
    assert EVIL in page.data["curves"]["methods"][0]["label"]


def test_a_missing_extra_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh.resources", None)
    told = CliRunner().invoke(app, ["report", str(fill(tmp_path / "d", "r"))])
    assert (told.exit_code, told.stdout) == (2, "")
    assert "pip install 'nashgames[report]'" in told.stderr and len(told.stderr.splitlines()) == 1


@pytest.mark.usefixtures("undrawn")
def test_failures_are_told_with_their_reasons(tmp_path):
    frames = rows("lost")
    frames["runs"] = frames["runs"].assign(status="diverged", diverged_step=17)
    frames["curves"].loc[frames["curves"].index[-1], "status"] = "diverged"
    directory = tmp_path / "d"
    with Results.open(directory) as results:
        results.begin({"seed": 0}, ["lost", "well"], {})
        results.add(**frames)
        results.add(**rows("well"))
    page = page_of(directory)
    assert "numbers stopped being finite at step 17" in page.text and "No run failed" not in page.text
    assert "No run failed" in page_of(fill(tmp_path / "e", "well")).text


@pytest.mark.usefixtures("undrawn")
def test_runs_that_could_not_be_finished_are_told_with_their_reasons(tmp_path):
    """Also where the game could not be made, so that its size is not known."""
    bad = tmp_path / "bad.csv"
    bad.write_text("0.5,0.9\n0.3,0.5\n")
    asked = Experiment.from_dict({"game": ["circulant", str(bad)], "solver": "nash-mp", "queries": 20, "beta": 0.1})
    list(runner.execute(asked, tmp_path / "out"))
    text = write([tmp_path / "out"]).path.read_text()
    assert "P + Pᵀ should be 1" in text
    assert "No run failed." not in text
    assert "more runs that are not there" not in text


def test_a_reason_that_rows_have_is_told(monkeypatch, tmp_path):
    from nashgames.reporting import page

    row = rows("r")["runs"].assign(directory="d", status="failed", reason="the disk was full").iloc[0].to_dict()
    assert page._of_failure(row)["reason"] == "the disk was full"


@pytest.mark.usefixtures("undrawn")
def test_an_empty_directory_and_one_that_is_being_written_say_so(tmp_path):
    empty = tmp_path / "empty"
    results = Results.open(empty)
    results.begin({"seed": 0}, ["a", "b"], {})
    results.flush()
    page = page_of(empty)
    assert "No run is finished yet" in page.text and "2 more runs" in " ".join(page.text.split())
    assert page.data["curves"] is None
    # Parts that have come since the tables count.
    results.add(**rows("a"))
    page = page_of(empty)
    assert "1 more run that is not there" in " ".join(page.text.split()) and page.data["runs"]["total"] == 1
    before = sorted(path.name for path in (empty / "parts").iterdir())
    assert before == sorted(path.name for path in (empty / "parts").iterdir())


@pytest.mark.usefixtures("undrawn")
def test_a_page_is_replaced_in_one_step(tmp_path, monkeypatch):
    directory = fill(tmp_path / "d", "r")
    path = write([directory]).path
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        disk = Disk(patch, fail_at=1, error=OSError(28, "No space left on device"))
        with pytest.raises(NashGamesError, match="no space left"):
            write([directory])
        assert disk.changes == 1
    assert path.read_bytes() == before
    assert [each.name for each in directory.iterdir() if each.name.endswith(".tmp")] == []


def test_two_directories_stand_side_by_side_with_what_differs(beside, tmp_path):
    page = Page(beside.read_text(encoding="utf-8"))
    text = " ".join(page.text.split())
    assert "only in a" in text and "only in b" in text
    # The shorter budget ends elsewhere: nash-mp at β = 0.1.
    assert "suboptimality, queries" in text
    assert len(page.of("td", **{"class": "n changed"})) > 0
    assert {each["name"] for each in page.data["curves"]["keys"]} == {"directory", "game", "n", "beta"}
    same = [fill(tmp_path / name, "r") for name in ("one", "two")]
    assert "No run differs" in page_of(*same, out=tmp_path / "same.html").text


def test_differences_are_found_by_identifier_and_else_by_what_is_played():
    a = pd.concat([rows("same")["runs"], rows("moved")["runs"].assign(seed=1), rows("gone")["runs"].assign(seed=2)])
    other = rows("elsewhere")["runs"].assign(seed=1, queries=9, status="budget")
    b = pd.concat([rows("same")["runs"].assign(suboptimality=0.25 * (1 + 1e-9)), other])
    found = {row["played"]["seed"]: row for row in differences(a, b)}
    assert sorted(found) == [1, 2]
    assert found[1]["kind"] == "queries, status" and (found[1]["a"]["queries"], found[1]["b"]["queries"]) == (6, 9)
    assert found[2]["kind"] == "only a" and found[2]["b"] is None
    assert [row["kind"] for row in differences(b, a) if row["played"]["seed"] == 2] == ["only b"]
    missing = rows("same")["runs"].assign(suboptimality=np.nan)
    assert differences(missing, missing) == []
    assert {row["kind"] for row in differences(missing, b)} == {"suboptimality", "only b"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "'nowhere' holds no results"),
        (["d", "d"], "given twice"),
        (["d", "--out", ""], "--out is empty"),
        (["d", "--out", "d"], "'d', a folder"),
        (["d", "--out", "page.pdf"], "'page.pdf', which no browser opens"),
        (["d", "--out", "file/page.html"], "file"),
    ],
)
def test_mistakes_are_one_sentence(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(Path("d"), "r")
    Path("file").write_text("")
    told = CliRunner().invoke(app, ["report", *arguments])
    assert (told.exit_code, told.stdout) == (2, ""), told.output
    assert said in told.stderr and len(told.stderr.splitlines()) == 1


@pytest.mark.usefixtures("undrawn")
def test_a_command_that_is_stopped_leaves_the_page_of_before(tmp_path, monkeypatch):
    directory = fill(tmp_path / "d", "r")
    before = write([directory]).path.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("nashgames.reporting.page.html_of", stop)
    told = CliRunner().invoke(app, ["report", str(directory)])
    assert told.exit_code == 130 and "stopped before the page was made" in told.stderr
    assert (directory / "report.html").read_bytes() == before


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, e.g. apt-get install chromium")


@pytest.fixture(scope="module")
def opened(beside):
    """The page of two directories in a browser."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium, e.g. apt-get install chromium")
    with Browser(beside.as_uri()) as browser:
        browser.wait("document.documentElement.dataset.ready")
        yield browser


def test_a_browser_opens_clicks_filters_and_prints(opened, tmp_path):
    assert opened.run("document.querySelectorAll('#panels .panel [role=img]:not(:empty)').length") == 4
    # A solver is hidden: its line goes from every panel, and comes back.
    described = "document.querySelector('#panels [role=img]').getAttribute('aria-label')"
    assert "nash-mp" in opened.run(described)
    drawn = int(opened.run("document.documentElement.dataset.drawn"))
    opened.run("[...document.querySelectorAll('#methods label')].find(l => l.textContent == 'nash-mp').control.click()")
    opened.wait(f"Number(document.documentElement.dataset.drawn) > {drawn}")
    assert "nash-mp" not in opened.run(described)
    # Another metric, axis and facet.
    opened.run(
        "(() => { const s = document.querySelector('select[name=y]'); s.selectedIndex = 3; "
        "s.dispatchEvent(new Event('change')); const a = document.querySelector('select[name=\"panels across\"]'); "
        "a.value = 'n'; a.dispatchEvent(new Event('change')); })()"
    )
    opened.wait(f"Number(document.documentElement.dataset.drawn) > {drawn + 1}")
    assert "KL to equilibrium against queries" in opened.run(described)
    assert "n = 5" in opened.run("document.querySelector('#panels h3').textContent")
    # The table of runs: a filter on a number and one on a text, then a heading.
    count = "document.querySelectorAll('#runs tbody tr').length"
    assert opened.run(count) == 64
    typed = (
        (
            "for (const [column, text] of [['beta', '<0.5'], ['label', 'mirror']]) {{ "
            "const f = document.querySelector(`#runs input[data-column=${{column}}]`); f.value = text; "
            "f.dispatchEvent(new Event('input')); }}"
        )
        .replace("{{", "{")
        .replace("}}", "}")
    )
    opened.run(typed)
    assert opened.run(count) == 8
    opened.run("[...document.querySelectorAll('#runs th button')].find(b => b.textContent == 'n').click()")
    assert opened.run("document.querySelector('#runs th[aria-sort]').getAttribute('aria-sort')") == "ascending"
    opened.run("document.getElementById('theme').click()")
    assert opened.run("document.documentElement.dataset.theme") == "dark"
    shot = opened.picture(tmp_path / "page.png")
    assert shot.read_bytes().startswith(b"\x89PNG") and shot.stat().st_size > 20_000
    assert opened.printed(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert opened.errors == []
    assert [address for address in opened.requests if not address.startswith(("file:", "data:", "about:"))] == []


def test_a_keyboard_reaches_every_control_and_a_copy_button_copies(opened):
    opened.run("document.body.focus(), window.scrollTo(0, 0)")
    seen = []
    for _ in range(24):
        opened.press("Tab", 9)
        seen.append(
            opened.run("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")
        )
    assert "theme" in seen and "x" in seen and "y" in seen
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.run("document.querySelector('.copier').focus()")
    opened.press("Enter", 13)
    opened.wait("document.querySelector('.copier').textContent == 'Copied'")


@needs_browser
def test_figures_are_those_of_plot_with_tuned_solvers_as_they_were_asked_for_beside_them(tmp_path):
    directory = tmp_path / "tuned"
    asked = Experiment(game="random-logits", actions=3, beta=0.5, solver="nash-mp", tune="eta=0.2:2:2", queries=40)
    list(runner.execute(asked, directory))
    page = page_of(directory)
    shown = {base64.b64decode(each[1]["src"].partition(",")[2]) for each in page.of("img")}
    assert CliRunner().invoke(app, ["plot", str(directory), "--format", "svg", "--quiet"]).exit_code == 0
    drawn = {path.read_bytes() for path in directory.glob("*.svg")}
    assert drawn and drawn <= shown
    assert len(untuned(Results.read(directory).last_runs)) == 1


@needs_browser
def test_nothing_in_a_directory_acts_in_the_page(hostile):
    with Browser(write([hostile]).path.as_uri()) as browser:
        browser.wait("document.documentElement.dataset.ready")
        left, top, wide, high = browser.run(
            "(() => { const r = document.querySelector('#panels [role=img]').getBoundingClientRect(); "
            "return [r.x, r.y, r.width, r.height]; })()"
        )
        # The line is about the middle of its panel: what is said of a point when the mouse is there has the label.
        browser.move(left + 0.5 * wide, top + 0.3 * high)
        browser.move(left + 0.5 * wide, top + 0.44 * high)
        browser.wait(f"({SEEN})(document.body).includes('hacked=1')")
        assert browser.run("typeof window.hacked") == "undefined"
        assert browser.errors == []
        assert re.sub(r"\s", "", EVIL)[:20] in re.sub(
            r"\s", "", browser.run("document.querySelector('#methods').textContent")
        )
