"""Whether the analyses find what was planted in simulated data."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Is what was planted recovered?"
WIDTH, LABELS = 11.5, 1.1  # inches: of the figure, and of the names beside a panel
FOUND, MISSED = style.BLUE, style.VERMILLION


def recovery(table: pd.DataFrame, view: View) -> Figure:
    """Draw planted effects beside what the analyses recovered.

    Parameters
    ----------
    table : table `truth_recovery`.
    view : dataset to show, and fit; all fits when that is empty.

    Returns
    -------
    One panel per effect, fit and model (they differ in unit): a row per ROI and side, the planted
    value as a black bar, the recovered one with its 95% interval. What lies outside is a red cross,
    named below the title; what was not found at all (not finite) is named only.
    """
    rows = table[table["dataset"] == view.dataset]
    if view.fit:
        rows = rows[rows["fit"] == view.fit]
    if rows.empty:
        return style.empty(view, TITLE, "Nothing was planted in this dataset.")
    groups = list(rows.groupby(["effect", "fit", "model", "unit"], sort=False))
    columns = style.column_count(len(groups))
    heights = []
    for start in range(0, len(groups), columns):
        tallest = max(len(group) for _, group in groups[start : start + columns])
        heights.append(0.22 * tallest + 1.1)
    figure = style.frame(view, TITLE, summary(rows), (WIDTH, 0.5 + sum(heights)))
    axes = style.grid(figure, len(groups), columns, height_ratios=heights)
    for axis, ((effect, fit, model, unit), group) in zip(axes, groups, strict=True):
        _effect(axis, group)
        axis.set_title(str(effect).replace("_", " ") + "\n")
        style.second_line(axis, f"{style.display_name(str(model))} · {fit}")
        axis.set_xlabel(style.wrap(str(unit), WIDTH / columns - LABELS, size=10))
        if unit == "step":
            axis.set_xscale("log")
            bounds = group[["planted", "ci_low", "ci_high"]].to_numpy(float)
            style.size_ticks(axis, bounds[np.isfinite(bounds) & (bounds > 0)])
    handles = [
        style.line("planted", style.BLACK, "none", marker="|"),
        style.line("recovered, its 95% CI holds the planted value", FOUND, marker="o"),
        style.line("recovered, planted value outside the CI", MISSED, marker="X"),
    ]
    handles[0].set(markersize=13, markeredgewidth=2.5)
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def summary(rows: pd.DataFrame) -> str:
    """Count the effects whose interval holds the planted value, and name the others."""
    inside = rows["inside"].astype(bool)
    text = f"{inside.sum()} of {len(rows)} planted effects lie inside the 95% CI of the estimate"
    if rows["ci_low"].isna().any():
        text += "; those without one, near the planted value"
    missed = [_name(row) for row in rows[~inside].to_dict("records")]
    if not missed:
        return text
    shown = ", ".join(missed[:8]) + (f" and {len(missed) - 8} more" if len(missed) > 8 else "")
    return f"{text}\noutside: {shown}"


def _name(row: dict[Any, Any]) -> str:
    place = style.panel_title(row["roi"], row["hemisphere"])
    return f"{row['effect']} {place} ({style.display_name(row['model'])})".replace("_", " ")


def _effect(axis: "Axes", rows: pd.DataFrame) -> None:
    for y, row in enumerate(rows.to_dict("records")):
        colour, marker = (FOUND, "o") if row["inside"] else (MISSED, "X")
        if np.isfinite([row["ci_low"], row["ci_high"]]).all():
            axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.6)
        if np.isfinite(row["recovered"]):
            axis.plot(row["recovered"], y, marker, color=colour, markersize=6.5, gid="recovered")
        axis.plot(
            row["planted"],
            y,
            "|",
            color=style.BLACK,
            markersize=13,
            markeredgewidth=2.2,
            gid="planted",
        )
    places = zip(rows["roi"], rows["hemisphere"], strict=True)
    labels = [style.panel_title(roi, side) for roi, side in places]
    axis.set_yticks(range(len(rows)), labels)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.margins(x=0.12)
    axis.grid(axis="y", visible=False)
