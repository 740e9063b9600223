"""`script/bench --plots FILE.json... [--into FOLDER]`: plots of what was measured, as SVG.

FILE is what a run of script/bench has kept (artifacts/bench-TIME.json), or what its failover has
(artifacts/failover-TIME.json). The same file gives the same bytes. What is drawn of which benchmark
is a table in `tests.bench.plots`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.benchmark import Figures
from tests.bench.plots import PLOTS
from tests.bench.results import Unreadable, figures_of, read

FOLDER = Path("docs/performance")
_WIDE, _HEAD, _ROW, _AROUND = 8.4, 0.62, 0.32, 0.75  # inches: all, title, a contender, an axis
_LEFT = 0.012  # of the width
_INK, _DIM, _PAPER = "#1f2328", "#59636e", "#ffffff"  # a sheet of its own, in dark themes as well
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "synod",
    "svg.fonttype": "none",  # letters stay letters
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 10,
    "text.color": _INK,
    "xtick.color": _DIM,
    "ytick.labelcolor": _INK,
    "xtick.labelsize": 9,
    "ytick.major.size": 0,
    "axes.labelsize": 9,
    "axes.labelcolor": _DIM,
    "axes.edgecolor": "#d1d9e0",
    "axes.facecolor": _PAPER,
    "figure.facecolor": _PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": "#eaeef2",
    "axes.axisbelow": True,
}


def main() -> int:
    """Draws what there is; 2 if something could not be drawn."""
    parser = argparse.ArgumentParser(prog="script/bench --plots", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER")
    options = parser.parse_args()
    mpl.rcParams.update(_STYLE)
    options.into.mkdir(parents=True, exist_ok=True)
    bad = 0
    for file in options.files:
        try:
            machine, measured = read(file)
        except Unreadable as error:
            print(error, file=sys.stderr)
            bad += 1
            continue
        if missing := sorted(set(measured) - set(PLOTS)):
            print(f"{file}: no plot is made of {', '.join(missing)}", file=sys.stderr)
        for name in (each for each in measured if each in PLOTS):
            try:
                print(draw(name, figures_of(name, measured), machine, options.into))
            except Unreadable as error:
                print(f"{name}: {error}", file=sys.stderr)
                bad += 1
    return 2 if bad else 0


def draw(name: str, figures: Figures, machine: dict[str, Any], folder: Path) -> Path:
    """One benchmark's plot. Unreadable if it needs figures that aren't there."""
    file = folder / f"{name}.svg"
    plot = PLOTS[name]
    figure = Figure(layout="constrained")
    panels = list(figure.subplots(plot.panels, 1, squeeze=False)[:, 0])
    try:
        plot.draw(figures, panels)
    except KeyError as error:
        raise Unreadable(
            f"no figure {error} in that file, which may be of another version."
            f" Measure again: script/bench {name}"
        ) from error
    rows = sum(len(each.get_yticks()) for each in panels)
    height = _HEAD + _AROUND * plot.panels + _ROW * rows
    figure.set_size_inches(_WIDE, height)
    figure.suptitle(plot.title, x=_LEFT, y=1 - 0.1 / height, ha="left", weight="bold", size=11.5)
    figure.text(_LEFT, 1 - 0.36 / height, plot.legend, va="top", size=9, color=_DIM)
    figure.supxlabel(_origin(machine), x=_LEFT, ha="left", size=8, color=_DIM)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - _HEAD / height), w_pad=0.1)
    # No date and no version of the library: they would change with nothing else changed.
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file


def _origin(machine: dict[str, Any]) -> str:
    """Where the figures come from, in a line."""
    return (
        f"{machine['cores']} cores of {machine['processor']}, Linux {machine['kernel']},"
        f" {machine['time'][:10]}, load average before {machine['load_average'][0]:g},"
        f" commit {machine['commit']}"
    )


if __name__ == "__main__":
    sys.exit(main())
