"""What a reader waits for: the page of a thousand runs made by a whole command, its size, and its first picture.

A small sweep plays the runs, with and without its figures: a directory that holds none has them drawn for the page.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import machine, options, table, verdict

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.browser import CHROMIUM, Browser

SECONDS, MEGABYTES, PICTURE = 10.0, 10.0, 2.0
"""The limits on a fast machine: making the page, its size, and seconds until its first curves are seen."""

# 2 games × 2 sizes × 5 β × 5 solvers × 10 seeds.
SWEEP = [
    "sweep", "--game", "disc,random-logits", "-n", "10,20", "--beta", "1,0.3,0.1,0.03,0.01", "--seeds", "10",
    "--solver", "nash-mp,nash-prox,online-ipo,mirror-descent,adaptive-nash-mp", "--queries", "2000", "--quiet",
]  # fmt: skip


def main() -> None:
    parser = options(__doc__, repeats=3)
    repeats = parser.parse_args().repeats
    print(machine())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, more in (("figures kept", []), ("figures drawn", ["--no-plot"])):
            directory = Path(folder) / name.replace(" ", "-")
            command([*SWEEP, *more, "--out", str(directory)])
            seconds = statistics.median(command(["report", str(directory)]) for _ in range(repeats))
            page = directory / "report.html"
            pictures = [first_picture(page) for _ in range(repeats)] if CHROMIUM else []
            rows.append([name, seconds, page.stat().st_size / 1e6, statistics.median(pictures) if pictures else "–"])
    table(["a page of 1,000 runs", "seconds", "MB", "first picture, s"], rows)
    for name, seconds, megabytes, picture in rows:
        verdict(f"{name}: seconds over {SECONDS:g}", seconds / SECONDS, 1)
        verdict(f"{name}: MB over {MEGABYTES:g}", megabytes / MEGABYTES, 1)
        if picture != "–":
            verdict(f"{name}: seconds to the first picture over {PICTURE:g}", picture / PICTURE, 1)


def command(words: list[str]) -> float:
    """Seconds of a whole command in a fresh process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "nashgames", *words], check=True, capture_output=True)
    return time.perf_counter() - began


def first_picture(page: Path) -> float:
    """Seconds from asking for a page until its first curves are drawn, in a browser that has nothing kept."""
    with Browser(page.as_uri()) as browser:
        browser.wait("document.documentElement.dataset.first")
        return float(browser.run("document.documentElement.dataset.first")) / 1000


if __name__ == "__main__":
    main()
