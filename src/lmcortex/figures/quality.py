"""What the data can show at all: noise ceilings, single subjects, what was dropped."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmcortex.figures import select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "How good are the data?"
MAX_FACTS = 16
ROW = 0.25  # height of a line of facts, inches


def quality(ceilings: pd.DataFrame, facts: pd.DataFrame, view: View) -> Figure:
    """Draw noise ceilings of every ROI and side, beside the counts of the data.

    Parameters
    ----------
    ceilings : table of ceilings of one dataset.
    facts : table `quality`.
    view : the dataset to show.

    Returns
    -------
    Left: per ROI and side, single subjects (leave-one-out inter-subject correlation) as dots with
    their mean as a bar, and the ceiling of the average response as a diamond; targets of an ROI are
    averaged. Right: items, words, samples, and what was dropped or repaired.
    """
    rows = ceilings[(ceilings["dataset"] == view.dataset) & select.finite(ceilings["ceiling"])]
    lines = fact_lines(facts[facts["dataset"] == view.dataset])
    height = max(3.0, ROW * len(lines) + 1.0)
    sources = ", ".join(sorted(rows["source"].unique()))
    people = rows[rows["subject"] != "average"]["subject"].nunique()
    subtitle = f"noise ceilings on the scale of r: {sources}" + (
        f" · {people} single subjects, bar: their mean" if people else ""
    )
    if rows.empty:
        subtitle = "no noise ceiling: one subject, and none published"
    figure = style.frame(view, TITLE, subtitle, (11.5, height))
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    if not rows.empty:
        _ceilings(left, rows)
        figure.legend(handles=_legend(rows), loc="outside lower left", ncols=3)
    else:
        left.set_axis_off()
    _facts(right, lines, height)
    return figure


def _ceilings(axis: "Axes", rows: pd.DataFrame) -> None:
    place = ["roi", "hemisphere"]
    means = rows.groupby([*place, "subject"], sort=False, as_index=False)["ceiling"].mean()
    panels = list(means[place].drop_duplicates().itertuples(index=False, name=None))
    rng = np.random.default_rng(0)
    for x, (roi, side) in enumerate(panels):
        here = means[(means["roi"] == roi) & (means["hemisphere"] == side)]
        people = here.loc[here["subject"] != "average", "ceiling"]
        average = here.loc[here["subject"] == "average", "ceiling"]
        colour = style.SIDE_COLOURS.get(side, style.GREY)
        jitter = rng.uniform(-0.16, 0.16, len(people))
        axis.plot(x + jitter, people, "o", color=colour, alpha=0.5, markersize=4, gid="subjects")
        if len(people):
            axis.plot([x - 0.3, x + 0.3], [people.mean()] * 2, color=colour, linewidth=2.2)
        axis.plot([x] * len(average), average, "D", color=style.BLACK, markersize=6, gid="average")
    axis.set_xticks(
        range(len(panels)), [f"{roi}\n{style.SIDE_NAMES[side]}" for roi, side in panels]
    )
    axis.set_xlim(-0.6, len(panels) - 0.4)
    highest = means["ceiling"].max()
    axis.set_ylim(min(0, means["ceiling"].min() - 0.03), highest + 0.08 * abs(highest))
    axis.set_ylabel("noise ceiling (r)")
    axis.grid(axis="x", visible=False)


def _legend(rows: pd.DataFrame) -> list[Line2D]:
    handles = [
        style.line(f"single subject, {style.SIDE_NAMES[side]}", colour, "-", marker="o")
        for side, colour in style.SIDE_COLOURS.items()
        if side in set(rows.loc[rows["subject"] != "average", "hemisphere"])
    ]
    if (rows["subject"] == "average").any():
        handles.append(style.line("average response", style.BLACK, "none", marker="D"))
    return handles


def fact_lines(facts: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (measure, value) of each fact as text, one line per measure.

    Facts of single subjects or runs are summed up by their range.
    """
    facts = facts[facts["measure"] != "ISC"]
    lines = []
    for measure, rows in facts.groupby("measure", sort=False):
        low, high = rows["value"].min(), rows["value"].max()
        text = f"{low:,.6g}" if low == high else f"{low:,.6g} to {high:,.6g}"
        n = len(rows)
        lines.append((str(measure), f"{text} ({n} subjects or runs)" if n > 1 else text))
    if len(lines) > MAX_FACTS:
        hidden = len(lines) - MAX_FACTS
        lines = [*lines[:MAX_FACTS], (f"... and {hidden} more in the table `quality`", "")]
    return lines


def _facts(axis: "Axes", lines: list[tuple[str, str]], height: float) -> None:
    axis.set_axis_off()
    axis.set_xlim(0, 1)
    axis.set_ylim((height - 0.5) / ROW - 1, -1)
    axis.text(0, -0.6, "Counted, dropped and repaired", weight="bold", size=10.5)
    for y, (measure, value) in enumerate(lines):
        axis.text(0, y + 0.5, measure, size=9)
        axis.text(1, y + 0.5, value, size=9, ha="right")
        axis.axhline(y + 0.72, color="#DDDDDD", linewidth=0.6)
