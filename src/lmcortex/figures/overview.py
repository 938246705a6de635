"""Which models predict the brain better than the baselines: nested scores of all models."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lmcortex.figures import select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {
    "trained": {"marker": "o", "markersize": 6.5},
    "untrained": {"marker": "o", "markersize": 6, "markerfacecolor": "white"},
    "baseline": {"marker": "s", "markersize": 5.5},
    "planted": {"marker": "D", "markersize": 5.5},
}
LABELS = {
    "trained": "trained, last checkpoint",
    "untrained": "the same architecture, untrained",
    "baseline": "baseline",
    "planted": "pseudo-model with a planted signal",
}


def overview(scores: pd.DataFrame, contrasts: pd.DataFrame, view: View) -> Figure:
    """Draw every model's nested score with its interval, beside baselines and noise ceiling.

    Parameters
    ----------
    scores : master table.
    contrasts : table `model_contrasts`; networks that beat every baseline get a star.
    view : dataset, fit and subject to show.

    Returns
    -------
    One panel per ROI; a row per model, its untrained twin hollow on the same row; baselines and
    planted pseudo-models below. Rows are sorted by their mean over the panels.
    """
    rows = select.final(select.nested(select.headline(scores, view)))
    shown = select.panels(rows)
    lines = select.lines(rows)
    better = select.better_than_baselines(select.same_view(contrasts, scores, view), rows)
    subtitle = f"nested cross-validated r · {select.interval_text(scores, view)} · fit {view.fit}"
    columns = -(-len(shown) // -(-len(shown) // 6))  # rows of at most 6, evenly filled
    n_rows = -(-len(shown) // columns)
    height = n_rows * (0.23 * len(lines) + 0.75) + 0.55
    figure = style.frame(view, "Which models predict the brain?", subtitle, (12, height))
    axes = style.grid(figure, len(shown), columns, sharey=True, sharex=True)
    for axis, (roi, side) in zip(axes, shown, strict=True):
        here = select.panel(rows, roi, side)
        _panel(axis, here, lines)
        _stars(axis, here[[(model, roi, side) in better for model in here["model"]]], lines)
    axes[0].set_yticks(range(len(lines)), [style.display_name(model) for _, model in lines])
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    _limits(axes, rows)
    notes = style.mark_ceilings(axes, select.ceilings(rows, shown), vertical=True)
    style.title_panels(axes, shown, notes)
    for axis in axes[-columns:]:
        axis.set_xlabel("nested score, r")
    figure.legend(
        handles=_legend(rows, not any(notes), bool(better)), loc="outside lower center", ncols=3
    )
    return figure


def _panel(axis: "Axes", rows: pd.DataFrame, lines: list[tuple[str, str]]) -> None:
    position = {model: y for y, (_, model) in enumerate(lines)}
    separate_roles(axis, lines)
    baselines = select.mean_over_seeds(rows[rows["role"] == "baseline"])
    if len(baselines):
        axis.axvline(baselines["r"].max(), color=style.GREY, linestyle="--", linewidth=1.1)
    axis.axvline(0, color="#999999", linewidth=0.8)
    for role, group in rows.groupby("role", sort=False):
        seeds = group[group.duplicated("model", keep=False)]
        colour = style.ROLE_COLOURS[str(role)]
        axis.plot(
            seeds["r"], seeds["model"].map(position), "|", color=colour, alpha=0.6, markersize=6
        )
        means = select.mean_over_seeds(group)
        shift = 0.18 if role == "untrained" else 0.0
        y = np.array([position[str(model)] for model in means.index]) + shift
        interval = np.stack([means["r"] - means["ci_low"], means["ci_high"] - means["r"]])
        axis.errorbar(
            means["r"],
            y,
            xerr=np.clip(interval, 0, None),
            fmt="none",
            ecolor=colour,
            elinewidth=1.4,
        )
        axis.plot(
            means["r"], y, linestyle="none", color=colour, gid=f"scores-{role}", **MARKS[str(role)]
        )


def _stars(axis: "Axes", rows: pd.DataFrame, lines: list[tuple[str, str]]) -> None:
    for y, (role, model) in enumerate(lines):
        row = rows[(rows["role"] == role) & (rows["model"] == model)]
        if role == "trained" and len(row):
            axis.annotate(
                "*",
                (row["ci_high"].iloc[0], y),
                (3, -5),
                textcoords="offset points",
                size=13,
                weight="bold",
                color=style.BLACK,
                gid="better",
            )


def separate_roles(axis: "Axes", lines: list[tuple[str, str]]) -> None:
    """Draw a thin line between trained models, baselines and planted models."""
    for y, (above, here) in enumerate(pairwise(lines), start=1):
        if above[0] != here[0]:
            axis.axhline(y - 0.5, color="#BBBBBB", linewidth=0.8)
    axis.grid(axis="y", visible=False)


def _limits(axes: list["Axes"], rows: pd.DataFrame) -> None:
    values = rows[["r", "ci_low", "ci_high"]].to_numpy(float)
    low, high = min(0.0, float(np.nanmin(values))), float(np.nanmax(values))
    margin = 0.08 * (high - low)
    axes[0].set_xlim(low - margin, high + margin)


def _legend(rows: pd.DataFrame, ceiling_drawn: bool, better: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [],
            [],
            linestyle="none",
            color=style.ROLE_COLOURS[role],
            label=LABELS[role],
            **MARKS[role],
        )
        for role in select.ROLES
        if role in set(rows["role"])
    ]
    if better:
        label = "better than every baseline (95% CI of the paired difference > 0)"
        handles.append(style.line(label, style.BLACK, "none", marker="$*$"))
    if (rows["role"] == "baseline").any():
        handles.append(style.line("best baseline", style.GREY, "--"))
    if rows["ceiling"].notna().any() and ceiling_drawn:
        handles.append(Patch(facecolor=style.PALE, edgecolor="black", label="above noise ceiling"))
    return handles
