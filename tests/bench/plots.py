"""Plots of what was measured, as SVG: `python -m tests.bench.plots JSON FOLDER`, in the environment with matplotlib.

One file for each part that there are figures of; the bench itself calls this at its end.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_WIDE = (8.0, 4.5)
_OURS = "#1b6ca8"
_OTHERS = "#9aa5b1"
_BESIDE: Mapping[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
_SHARES = (("p50", "median"), ("p90", "90 %"), ("p99", "99 %"))

Figures = Mapping[str, Any]


def main(source: Path, folder: Path) -> None:
    """Draw every part that was measured."""
    parts = json.loads(source.read_text(encoding="utf-8"))["parts"]
    folder.mkdir(parents=True, exist_ok=True)
    # The same figures give the same bytes.
    mpl.rcParams.update({"svg.hashsalt": "bench", "axes.spines.top": False, "axes.spines.right": False})
    for name, draw in _PLOTS.items():
        if name in parts:
            draw(parts[name], folder)


@contextmanager
def _plot(folder: Path, name: str, title: str) -> Iterator[Any]:
    """Axes to draw on; the file is written at the end of the block."""
    figure = Figure(figsize=_WIDE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    yield axes
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def _throughput(figures: Figures, folder: Path) -> None:
    sides = figures["sides"]
    names = list(sides)[::-1]
    with _plot(folder, "throughput", "requests per second (median; least to most)") as axes:
        spreads = [sides[name]["per_second"] for name in names]
        middle = [spread["median"] for spread in spreads]
        ends = [
            [spread["median"] - spread["least"] for spread in spreads],
            [spread["most"] - spread["median"] for spread in spreads],
        ]
        colours = [_OURS if "worker" in name else _OTHERS for name in names]
        axes.barh(names, middle, xerr=ends, color=colours, capsize=3)
        axes.set_xlabel("requests/s")


def _latency(figures: Figures, folder: Path) -> None:
    with _plot(folder, "latency", "latency added, at a share of the rate that a side reaches") as axes:
        for number, (name, side) in enumerate(figures["sides"].items()):
            for pace, style in zip(side["paces"], (":", "--", "-"), strict=False):
                label = f"{name}, at {pace['share']:.0%}"
                values = [pace[share] for share, _ in _SHARES]
                axes.plot(
                    [words for _, words in _SHARES],
                    values,
                    style,
                    marker="o",
                    color=f"C{number}",
                    label=label,
                )
        axes.set_yscale("log")
        axes.set_ylabel("ms")
        axes.legend(fontsize="small", **_BESIDE)


def _inflight(figures: Figures, folder: Path) -> None:
    with _plot(folder, "inflight", "sustained before a provider that takes a second") as axes:
        for name in dict.fromkeys(side["side"] for side in figures["sides"]):
            own = [side for side in figures["sides"] if side["side"] == name]
            axes.plot(
                [side["in_flight"] for side in own],
                [side["per_second"] for side in own],
                marker="o",
                label=name,
            )
        counts = sorted({side["in_flight"] for side in figures["sides"]})
        best = [next(s["at_best"] for s in figures["sides"] if s["in_flight"] == count) for count in counts]
        axes.plot(counts, best, ":", color="grey", label="what is possible")
        axes.set_xlabel("in flight")
        axes.set_ylabel("requests/s")
        axes.legend(fontsize="small")


def _backlog(figures: Figures, folder: Path) -> None:
    with _plot(folder, "memory", f"memory while {figures['queued']:,} requests are worked off") as axes:
        for name, side in figures["sides"].items():
            axes.plot(*zip(*side["memory"], strict=True), label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds")
        axes.set_ylabel("MiB")
        axes.legend(fontsize="small")
    with _plot(folder, "backlog", f"rate while {figures['queued']:,} requests are worked off") as axes:
        for name, side in figures["sides"].items():
            rates = side["per_second_by_tenth"]
            axes.plot(range(1, len(rates) + 1), rates, marker="o", label=name)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("tenth of the queue")
        axes.set_ylabel("requests/s")
        axes.legend(fontsize="small")


def _growth(figures: Figures, folder: Path) -> None:
    with _plot(folder, "growth", "size of the ledger") as axes:
        for name, side in figures["sides"].items():
            counts, sizes = zip(*side["curve"], strict=True)
            axes.plot(
                (0, *counts), [size / 2**20 for size in (side["empty"], *sizes)], marker="o", label=name
            )
        axes.set_xlabel("requests")
        axes.set_ylabel("MiB")
        axes.legend(fontsize="small")


def _rows(figures: Figures, folder: Path) -> None:
    for name, sizes in figures["sides"].items():
        kind = name.rpartition(" ")[2]
        with _plot(folder, f"rows-{kind.lower()}", f"{kind}: what is asked of a large ledger") as axes:
            (_rows_at_one_size if len(sizes) == 1 else _rows_by_size)(axes, sizes)


def _rows_at_one_size(axes: Any, sizes: Sequence[Figures]) -> None:
    asked = sizes[0]["asked"]
    names = list(asked)[::-1]
    axes.barh(names, [asked[name]["ms"] for name in names], color=_OURS)
    axes.tick_params(axis="y", labelsize="xx-small")
    axes.set_xlabel(f"ms, with {sizes[0]['rows']:,} rows")


def _rows_by_size(axes: Any, sizes: Sequence[Figures]) -> None:
    counts = [size["rows"] for size in sizes]
    for number, asked in enumerate(sizes[0]["asked"]):
        values = [size["asked"][asked]["ms"] for size in sizes]
        style = ("-", "--", ":")[number // 10 % 3]
        axes.plot(counts, values, style, marker=".", color=f"C{number % 10}", label=asked)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.xaxis.minorticks_off()
    axes.set_xlabel("rows")
    axes.set_ylabel("ms")
    axes.legend(fontsize="xx-small", **_BESIDE)


_PLOTS: Mapping[str, Callable[[Figures, Path], None]] = {
    "throughput": _throughput,
    "latency": _latency,
    "inflight": _inflight,
    "backlog": _backlog,
    "growth": _growth,
    "rows": _rows,
}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
