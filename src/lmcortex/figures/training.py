"""How prediction of the brain grows while a model learns: nested score against training step."""

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmcortex.figures import select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "When does the brain become predictable?"


def training(scores: pd.DataFrame, trajectories: pd.DataFrame, view: View) -> Figure:
    """Draw nested scores against training step, with the step of half the gain.

    Parameters
    ----------
    scores : master table.
    trajectories : table `training`, whose `onset50` is drawn.
    view : dataset, fit and subject to show.

    Returns
    -------
    One panel per ROI: a line and 95% band per model with two or more steps (planted pseudo-models
    dashed), a triangle with its interval at onset50, untrained twins as squares left of step 0,
    the best baseline dotted.
    """
    rows = select.nested(select.headline(scores, view))
    learning = rows[rows["role"].isin(["trained", "planted"]) & rows["step"].notna()]
    learning = learning[learning.groupby("model")["step"].transform("nunique") > 1]
    if learning.empty:
        return style.empty(view, TITLE, "No model of this study has more than one checkpoint.")
    shown = select.panels(learning)
    palette = style.colours(select.by_size(learning))
    last = float(learning["step"].max())
    first = float(learning.loc[learning["step"] > 0, "step"].min())
    onsets = select.same_view(trajectories, scores, view)
    onsets = onsets[select.finite(onsets["onset50"])]
    columns = style.column_count(len(shown))
    subtitle = (
        f"nested cross-validated r · {select.interval_text(scores, view, 'bands')} · fit {view.fit}"
    )
    size = (11.5, -(-len(shown) // columns) * 2.5 + 0.7)
    figure = style.frame(view, TITLE, subtitle, size)
    axes = style.grid(figure, len(shown), columns, sharex=True, sharey=True)
    for axis, (roi, side) in zip(axes, shown, strict=True):
        here = select.panel(rows, roi, side)
        for index, (model, colour) in enumerate(palette.items()):
            _curve(axis, select.panel(learning[learning["model"] == model], roi, side), colour)
            x = -first * (0.35 + 0.25 * index / len(palette))
            _untrained(axis, here[here["model"] == model], colour, x)
        _onset_marks(axis, select.panel(onsets, roi, side), palette, last)
        style.mark_best_baseline(axis, here)
    step_axis(axes, first, last)
    notes = style.mark_ceilings(axes, select.ceilings(rows, shown))
    style.title_panels(axes, shown, notes)
    for axis in axes[-columns:]:
        axis.set_xlabel("training step")
    for axis in axes[::columns]:
        axis.set_ylabel("nested score, r")
    handles = _legend(rows, palette, not onsets.empty, not any(notes))
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def _curve(axis: "Axes", rows: pd.DataFrame, colour: Any) -> None:
    rows = rows.sort_values("step")
    if rows.empty:
        return
    dashed = rows["role"].iloc[0] == "planted"
    axis.fill_between(
        rows["step"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.15, linewidth=0
    )
    axis.plot(
        rows["step"],
        rows["r"],
        color=colour,
        marker="o",
        markersize=3.5,
        linestyle="--" if dashed else "-",
        gid="trajectory",
    )


def _untrained(axis: "Axes", rows: pd.DataFrame, colour: Any, x: float) -> None:
    twins = select.mean_over_seeds(rows[rows["role"] == "untrained"])
    for r, low, high in twins.itertuples(index=False):
        axis.plot([x, x], [low, high], color=colour, linewidth=0.9)
        axis.plot(
            x,
            r,
            marker="s",
            markersize=4.5,
            color=colour,
            markerfacecolor="white",
            linestyle="none",
            gid="untrained",
        )


def _onset_marks(axis: "Axes", rows: pd.DataFrame, palette: dict[str, Any], last: float) -> None:
    """Draw each onset50 on the axis, with its interval where that ends within training."""
    shown = rows[rows["model"].isin(palette)]
    for level, row in enumerate(shown.to_dict("records")):
        colour, y = palette[row["model"]], 0.03 + 0.045 * level
        place = {"transform": axis.get_xaxis_transform(), "color": colour, "clip_on": False}
        ends = [row["onset50_ci_low"], min(row["onset50_ci_high"], last)]
        axis.plot(ends, [y, y], linewidth=1.1, **place)
        axis.plot(row["onset50"], y, "^", markersize=6.5, gid="onset50", **place)


def step_axis(axes: list["Axes"], first: float, last: float) -> None:
    """Scale the shared step axis as a logarithm that still has room for step 0."""
    axes[0].set_xscale("symlog", linthresh=first, linscale=0.7)
    decades = [10.0**k for k in range(12) if first <= 10.0**k <= last]
    ticks = [0.0, *(decades if len(decades) > 1 else sorted({first, last}))]
    for axis in axes:
        axis.minorticks_off()
        axis.set_xticks(ticks, [style.short_count(tick) for tick in ticks])
    axes[0].set_xlim(-0.75 * first, last * 1.25)


def _legend(
    rows: pd.DataFrame, palette: dict[str, Any], onset: bool, ceiling: bool
) -> list[Line2D]:
    planted = set(rows.loc[rows["role"] == "planted", "model"])
    handles = [
        style.line(style.display_name(model), colour, "--" if model in planted else "-")
        for model, colour in palette.items()
    ]
    if (rows["role"] == "untrained").any():
        handles.append(style.line("untrained twin", "#444444", "none", marker="s", hollow=True))
    if onset:
        handles.append(style.line("half of the gain (onset50)", "#444444", "none", marker="^"))
    return [*handles, *style.reference_lines(rows, ceiling)]
