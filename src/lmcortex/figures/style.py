"""What all figures share: colours, the frame with its title and marks, and how they are saved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from lmcortex import storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008): eight colours that stay apart under every common colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#6E6E6E", "#E4E4E4"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = "osD^vPXh<>"
ROLE_COLOURS = {"trained": BLUE, "untrained": SKY, "baseline": GREY, "planted": PURPLE}
SIDE_COLOURS = {"L": VERMILLION, "R": BLUE}
SIDE_NAMES = {"L": "left", "R": "right", "M": "midline", "both": "both sides"}
SIMULATED = "SIMULATED DATA"
MARK_INCHES = 1.9  # that this mark takes of the line of the title
FAR = 2.0  # a ceiling beyond this multiple of the data's range would squeeze the data

# Set once for the process: ticks and legends are made lazily and would miss a context manager.
# Text becomes outlines, so that a figure looks the same where a font is missing, and the fixed
# salt makes the ids in the file, hence its bytes, the same in every run.
matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#444444",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#EBEBEB",
        "grid.linewidth": 0.8,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "svg.fonttype": "path",
        "svg.hashsalt": "lmcortex",
    }
)


@dataclass(frozen=True)
class View:
    """Which part of a study's tables a figure shows.

    Attributes
    ----------
    dataset, fit : names in the tables.
    simulated : whether the brains were simulated; such figures carry a visible mark.
    title : how the dataset is called in print; its name when empty.
    beyond : what is known already, where scores are gains over it.
    sample : how many items, words or runs were scored, as text ("1000 sentences").
    subject : label whose scores are shown; the group when there is one, when None.
    model : the one model shown, for figures of one model.
    """

    dataset: str
    fit: str = ""
    simulated: bool = False
    title: str = ""
    beyond: str = ""
    sample: str = ""
    subject: str | None = None
    model: str = ""


def view_of(spec: Mapping[str, Any], facts: pd.DataFrame) -> View:
    """Return the view that a command's settings ask for.

    Parameters
    ----------
    spec : fields of `View`.
    facts : table `quality`, which knows the number of items.
    """
    view = View(**spec)
    items = facts[(facts["dataset"] == view.dataset) & (facts["measure"] == "items")]["value"]
    return replace(view, sample=f"{items.iloc[0]:.0f} items" if len(items) else view.sample)


def frame(view: View, title: str, subtitle: str, size: tuple[float, float]) -> Figure:
    """Return an empty figure with its title, what was measured, and the mark of simulated data.

    Parameters
    ----------
    size : width and height in inches of the part below the title.
    """
    if view.beyond:
        subtitle += f"\nscores are gains in r over {view.beyond} alone"
    name, room = view.title or view.dataset, size[0] - 0.3
    title = wrap(f"{title} · {name}", room - MARK_INCHES * view.simulated, size=13, weight="bold")
    subtitle = wrap(subtitle, room, size=9.5)
    below_title = 0.27 + 0.22 * title.count("\n")
    header = 0.35 + below_title + 0.18 * subtitle.count("\n")
    width, height = size[0], size[1] + header
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.1 / width, 0, 1 - 0.2 / width, size[1] / height), w_pad=0.06, h_pad=0.06)
    top = 1 - 0.12 / height
    figure.text(0.12 / width, top, title, size=13, weight="bold", va="top")
    figure.text(0.12 / width, top - below_title / height, subtitle, size=9.5, color=GREY, va="top")
    if view.simulated:
        figure.text(
            1 - 0.16 / width,
            top - 0.03 / height,
            SIMULATED,
            size=11,
            weight="bold",
            color="white",
            ha="right",
            va="top",
            bbox={"boxstyle": "round,pad=0.35", "facecolor": VERMILLION, "edgecolor": "none"},
        )
    return figure


def wrap(text: str, room: float, **font: Any) -> str:
    """Break lines between words where they are wider than so many inches."""
    letters = FontProperties(**font)

    def fits(line: str) -> bool:
        return TextPath((0, 0), line, prop=letters).get_extents().width <= 72 * room

    lines: list[str] = []
    for line in text.split("\n"):
        first, *others = line.split(" ")
        lines.append(first)
        for word in others:
            longer = f"{lines[-1]} {word}"
            if fits(longer):
                lines[-1] = longer
            else:
                lines.append(word)
    return "\n".join(lines)


def grid(figure: Figure, n_panels: int, n_columns: int, **shared: Any) -> list["Axes"]:
    """Return `n_panels` axes in rows of at most `n_columns`."""
    n_columns = min(n_columns, n_panels)
    n_rows = ceil(n_panels / n_columns)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, **shared).ravel().tolist()
    for spare in axes[n_panels:]:
        spare.remove()
    for axis in axes[max(0, n_panels - n_columns) : n_panels]:
        axis.tick_params(labelbottom=True)
    return axes[:n_panels]


def empty(view: View, title: str, message: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure = frame(view, title, "", (8, 1))
    figure.text(0.5, 0.3, message, ha="center", size=11, color=GREY)
    return figure


def save(figure: Figure, path: str | Path, provenance: storage.Provenance) -> None:
    """Write a figure as SVG or PNG (by its suffix), the same bytes for the same figure."""
    path = Path(path)
    freeze_layout(figure)
    metadata = {"svg": {"Date": None, "Source": storage.dumps(provenance).decode()}}
    with storage.replacing(path) as temporary:
        kind = path.suffix.lstrip(".")
        figure.savefig(temporary, format=kind, dpi=160, metadata=metadata.get(kind))


def freeze_layout(figure: Figure) -> None:
    """Lay the figure out once and round every place.

    The layout's solver ends within 1e-9 of the same place each time, which is enough to change the
    names of clip paths, and with them the file.
    """
    figure.draw_without_rendering()
    places = [axis.get_position().bounds for axis in figure.axes]
    figure.set_layout_engine("none")
    for axis, place in zip(figure.axes, places, strict=True):
        left, bottom, width, height = (round(edge, 5) for edge in place)
        axis.set_position((left, bottom, width, height))


def panel_title(roi: str, hemisphere: str) -> str:
    """Name a panel: the ROI, and its side unless both sides are meant."""
    roi = "all ROIs" if roi == "all" else roi
    return roi if hemisphere == "both" else f"{roi} {SIDE_NAMES.get(hemisphere, hemisphere)}"


def colours(names: Sequence[str]) -> dict[str, Any]:
    """Give each name a colour; more names than colours share a sequential map, in their order."""
    return dict(zip(names, CYCLE, strict=False)) if len(names) <= len(CYCLE) else shades(names)


def shades(names: Sequence[str]) -> dict[str, Any]:
    """Give each name a colour of a sequential map, in their order."""
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(names)))
    return dict(zip(names, colours, strict=True))


def mark_ceilings(
    axes: Sequence["Axes"], ceilings: Sequence[float], vertical: bool = False
) -> list[str]:
    """Draw each panel's noise ceiling, or return a note with its value where it lies far off.

    The axes share their limits, which are those of the data; they grow to hold the ceilings, unless
    that would squeeze the data.

    Returns
    -------
    A note for each panel, empty where nothing is left to say.
    """
    low, high = axes[0].get_xlim() if vertical else axes[0].get_ylim()
    highest = max((value for value in ceilings if np.isfinite(value)), default=low)
    if highest > low + FAR * (high - low):
        return [
            f"ceiling {value:.2f}, off scale" if np.isfinite(value) else "" for value in ceilings
        ]
    for axis, ceiling in zip(axes, ceilings, strict=True):
        line, span = (axis.axvline, axis.axvspan) if vertical else (axis.axhline, axis.axhspan)
        if np.isfinite(ceiling):
            line(ceiling, color=BLACK, linewidth=1.4, gid="ceiling")
            span(ceiling, max(ceiling, 1) + 1, color=PALE, zorder=0)
    end = max(high, highest + 0.05 * (highest - low))
    if vertical:
        axes[0].set_xlim(low, end)
    else:
        axes[0].set_ylim(low, end)
    return [""] * len(ceilings)


def title_panels(
    axes: Sequence["Axes"], panels: Sequence[tuple[str, str]], *notes: Sequence[str]
) -> None:
    """Name each panel by its ROI and side, with its notes in small letters on the lines below."""
    texts = ["\n".join(filter(None, parts)) for parts in zip(*notes, strict=True)]
    lines = max(text.count("\n") + bool(text) for text in texts)
    for axis, panel, text in zip(axes, panels, texts, strict=True):
        axis.set_title(panel_title(*panel) + "\n" * lines)
        second_line(axis, text)


def second_line(axis: "Axes", text: str) -> None:
    """Write small text between a panel and its title."""
    axis.annotate(text, (0, 1), (0, 6), "axes fraction", "offset points", size=8, color=GREY)


def mark_best_baseline(axis: "Axes", rows: pd.DataFrame) -> None:
    """Draw the highest nested score of a panel's baselines, each the mean over its seeds."""
    baselines = rows[rows["role"] == "baseline"]
    if len(baselines):
        best = baselines.groupby("model")["r"].mean().max()
        axis.axhline(best, color=GREY, linestyle=":", linewidth=1.6, gid="best-baseline")


def line(
    label: str, colour: Any, dash: Any = "-", marker: Any = None, hollow: bool = False
) -> Line2D:
    """Return an entry of a legend."""
    face = "white" if hollow else colour
    return Line2D(
        [], [], color=colour, linestyle=dash, marker=marker, markerfacecolor=face, label=label
    )


def reference_lines(rows: pd.DataFrame, ceiling_drawn: bool) -> list[Line2D]:
    """Return the legend entries of the best baseline and the noise ceiling, where there are."""
    handles = []
    if (rows["role"] == "baseline").any():
        handles.append(line("best baseline", GREY, ":"))
    if rows["ceiling"].notna().any() and ceiling_drawn:
        handles.append(line("noise ceiling", BLACK))
    return handles


def size_ticks(axis: "Axes", sizes: Iterable[float]) -> None:
    """Put the ticks of a logarithmic axis of sizes at decades, or at 1, 2, 5 within one decade."""
    low, high = min(sizes), max(sizes)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    factors = (1,) if high / low > 30 else (1, 2, 5)
    ticks = [factor * 10.0**k for k in decades for factor in factors]
    ticks = [tick for tick in ticks if low / 1.5 <= tick <= high * 1.5]
    every = max(1, ceil(len(ticks) / 5))
    axis.minorticks_off()
    axis.set_xticks(ticks[::every], [short_count(tick) for tick in ticks[::every]])


def column_count(n_panels: int) -> int:
    """Return how many panels stand in a row: three for three to six, else at most four."""
    return min(n_panels, 3 if n_panels in (3, 5, 6) else 4)


def display_name(model: str) -> str:
    """Write a model's name for print: planted-1000000 as planted 1M."""
    kind, _, size = model.rpartition("-")
    return f"planted {short_count(float(size))}" if kind == "planted" else model


def short_count(value: float) -> str:
    """Write a count as people do: 1k, 70M, 1.4B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}"
