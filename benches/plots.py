"""Draws what `benches/scale.py` measured, a picture per thing that grows.

The pictures stand beside the numbers, and depend on nothing else:

    python benches/plots.py
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator  # type: ignore[import-not-found, unused-ignore]

RESULTS = Path(__file__).parent / "results" / "scale"

# The colours of Okabe and Ito are told apart by everybody; markers and dashes say the same once more.
VERMILLION, ORANGE, BLUE, GREEN, PURPLE = "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7"
PAPER, INK, GRID = "#fbfbf9", "#222222", "#d9d9d4"


@dataclass(frozen=True)
class Picture:
    """Says how one measurement is shown.

    Args:
        title: What was done.
        x: What grows.
        y: What is shown of each call.
        note: What else one has to know.
        slow: What takes too long where a line ends early.
    """

    title: str
    x: str
    y: str
    note: str
    slow: str = "a scrape"


PICTURES = {
    "scrape_by_series": Picture(
        "A scrape, by series: four workers that all have the same counters",
        "series that each worker has",
        "time of one scrape",
        "generate_latest() with a MultiProcessCollector, in Python, for all sides",
    ),
    "scrape_by_workers": Picture(
        "A scrape, by workers: each has 1,000 counters and 50 histograms",
        "workers",
        "time of one scrape",
        "generate_latest() with a MultiProcessCollector, in Python, for all sides",
    ),
    "count_by_series": Picture(
        "Counting, by series: one of many is picked at random",
        "series of the counter",
        "time of one call",
        'multi-process mode; labels() is labels("GET", path), inc() is on a child that is held, "new" makes a series',
        "making them",
    ),
    "count_by_length": Picture(
        "Counting, by the length of a label value",
        "characters of the label value",
        "time of one call",
        'multi-process mode; labels("GET", path).inc(), each path a string of its own as a request has it',
    ),
    "count_by_threads": Picture(
        "Counting in several threads of Python, on one series",
        "threads",
        "time of one call, all threads together",
        "multi-process mode; CPython with its interpreter lock",
    ),
    "rust_count_by_threads": Picture(
        "Counting in several threads of Rust, on one series",
        "threads",
        "time of one call, all threads together",
        "one process; a float counter of each crate",
    ),
}


def style(name: str) -> dict[str, Any]:
    """Returns how a line looks: a colour per client, a marker and dashes per kind."""
    own, first = "own files" in name, name.endswith("first")
    if name.startswith(("with its", "prometheus-client ")):
        return {"color": ORANGE, "marker": "s"}
    kind = {"new": ":", "inc()": "-", "labels().inc()": "--"}.get(name.partition(": ")[2], "--" if first else "-")
    if name.startswith("prometheus"):
        return {"color": VERMILLION, "marker": "o", "linestyle": kind}
    return {"color": GREEN if own else BLUE, "marker": "D" if own else "^", "linestyle": kind}


def seconds(value: float, _: int = 0) -> str:
    """Formats a time with the unit that fits."""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        # Ticks of powers of ten are not quite what they stand for.
        if value >= unit * 0.999:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e-9:.2g} ns"


def draw(picture: Picture, lines: dict[str, Any], machine: str, path: Path) -> None:
    """Draws one picture."""
    figure, axes = plt.subplots(figsize=(8.4, 5.4))
    sizes: set[int] = set()
    for name, line in lines.items():
        points = line["points"]
        sizes.update(point["x"] for point in points)
        x = [point["x"] for point in points]
        y = [point["median"] for point in points]
        look = style(name)
        axes.plot(x, y, label=name, linewidth=1.8, markersize=6, **look)
        axes.fill_between(x, [p["low"] for p in points], [p["high"] for p in points], color=look["color"], alpha=0.15)
        if line["stopped_at"] and points:
            axes.annotate(
                f"{picture.slow} would take over 20 s at {line['stopped_at']:,}",
                (x[-1], y[-1]),
                xytext=(-6, 9),
                textcoords="offset points",
                ha="right",
                fontsize=8.5,
                color=look["color"],
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sorted(sizes), [f"{size:,}" for size in sorted(sizes)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(seconds))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    if high / low < 1000:
        # Less than a few powers of ten need more than their marks.
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: seconds(v) if f"{v:e}"[0] in "25" else ""))
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(picture.x)
    axes.set_ylabel(picture.y)
    axes.set_title(picture.title, loc="left", fontsize=12, fontweight="bold")
    figure.legend(loc="lower center", ncols=2, frameon=False, bbox_to_anchor=(0.5, 0.075), fontsize=9.5)
    figure.text(0.015, 0.045, picture.note, fontsize=8, color="#555555")
    figure.text(0.015, 0.015, f"medians, and the middle half of the rounds; {machine}", fontsize=8, color="#555555")
    rows = (len(lines) + 1) // 2
    figure.tight_layout(rect=(0, 0.085 + 0.042 * rows, 1, 1))
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def main() -> None:
    """Draws all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=Path, default=RESULTS / "numbers.json", help="what to draw")
    numbers_path = parser.parse_args().numbers
    numbers = json.loads(numbers_path.read_text("utf-8"))
    mpl.rcParams.update(
        {
            "svg.hashsalt": "forkmeter",
            "svg.fonttype": "none",
            "font.family": ["DejaVu Sans", "sans-serif"],
            "font.size": 10,
            "figure.facecolor": PAPER,
            "axes.facecolor": PAPER,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    for name, lines in numbers["plots"].items():
        path = numbers_path.with_name(f"{name}.svg")
        draw(PICTURES[name], lines, numbers["machine"], path)
        # Whatever draws it puts spaces at the ends of lines.
        path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text("utf-8").splitlines()), "utf-8")


if __name__ == "__main__":
    main()
