"""Where in a model the brain is predicted best: scores by layer, and by layer and checkpoint."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmcortex.errors import InputError
from lmcortex.figures import select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NESTED_AT = 1.15  # where the nested scores start, right of the last layer
NESTED_WIDTH = 0.3  # how far they reach at most


def layers(scores: pd.DataFrame, view: View) -> Figure:
    """Draw the score of every layer against relative depth, for the final checkpoints.

    Parameters
    ----------
    scores : master table.
    view : dataset, fit and subject to show.

    Returns
    -------
    One panel per ROI: a line per trained model, its untrained twin dashed; points grow with the
    share of outer folds that chose the layer; diamonds at the right are the nested scores.
    """
    rows = select.final(select.headline(scores, view))
    networks = rows[rows["role"].isin(["trained", "untrained"])]
    shown = select.panels(rows)
    palette = style.colours(select.by_size(networks))
    columns = style.column_count(len(shown))
    width = min(0.04 * len(palette), NESTED_WIDTH)
    height = -(-len(shown) // columns) * 2.5 + 0.2 * (len(palette) // 5 + 1) + 0.3
    subtitle = (
        f"cross-validated r of each layer · {select.interval_text(scores, view)} · fit {view.fit}"
    )
    figure = style.frame(view, "Which layers predict the brain?", subtitle, (11.5, height))
    axes = style.grid(figure, len(shown), columns, sharex=True, sharey=True)
    for axis, (roi, side) in zip(axes, shown, strict=True):
        here = select.panel(rows, roi, side)
        for (model, role), lines in here[here["model"].isin(palette)].groupby(["model", "role"]):
            x = NESTED_AT + width * list(palette).index(str(model)) / len(palette)
            _profile(axis, lines, palette[str(model)], str(role), x)
        style.mark_best_baseline(axis, here)
    axes[0].set_xlim(-0.04, NESTED_AT + width + 0.04)
    axes[0].set_xticks([0, 0.5, 1, NESTED_AT + width / 2], ["0", "0.5", "1", "nested"])
    notes = style.mark_ceilings(axes, select.ceilings(rows, shown))
    style.title_panels(axes, shown, notes)
    for axis in axes[-columns:]:
        axis.set_xlabel("relative depth (0 = embeddings)")
    for axis in axes[::columns]:
        axis.set_ylabel("score, r")
    figure.legend(
        handles=_legend(rows, palette, not any(notes)), loc="outside lower center", ncols=5
    )
    return figure


def _profile(axis: "Axes", rows: pd.DataFrame, colour: Any, role: str, nested_at: float) -> None:
    """Draw one model's layers (the mean over seeds), and its nested score at the right."""
    dashed = role == "untrained"
    curve = rows[rows["layer"] != select.NESTED].groupby("depth")[["r", "selected_share"]].mean()
    axis.plot(
        curve.index,
        curve["r"],
        color=colour,
        linestyle="--" if dashed else "-",
        linewidth=1.2 if dashed else 1.8,
        gid=f"layers-{role}",
    )
    if not dashed:
        sizes = 4 + 50 * curve["selected_share"].fillna(0)
        axis.scatter(curve.index, curve["r"], s=sizes, color=[colour], zorder=3)
    score = select.mean_over_seeds(select.nested(rows))
    for r, low, high in score.itertuples(index=False):
        x = nested_at + (0.01 if dashed else 0)
        axis.plot([x, x], [low, high], color=colour, linewidth=1.0)
        face = "white" if dashed else colour
        axis.plot(x, r, "D", color=colour, markersize=4.5, markerfacecolor=face, gid="nested")


def _legend(rows: pd.DataFrame, palette: dict[str, Any], ceiling: bool) -> list[Line2D]:
    handles = [style.line(model, colour) for model, colour in palette.items()]
    if (rows["role"] == "untrained").any():
        handles.append(style.line("untrained twin", "#444444", "--"))
    handles.append(style.line("nested score", "#444444", "none", marker="D"))
    return [*handles, *style.reference_lines(rows, ceiling)]


def heatmap(scores: pd.DataFrame, view: View) -> Figure:
    """Draw one model's scores by layer and checkpoint.

    Parameters
    ----------
    scores : master table.
    view : dataset, fit, subject and `model` to show.

    Returns
    -------
    One panel per ROI; columns are training steps in order, not to scale. Colours share one scale
    over panels and over all models of the dataset and fit. A ring marks the layer that most outer
    folds chose at each step.

    Raises
    ------
    InputError : the model has fewer than three steps.
    """
    networks = select.headline(scores, view)
    networks = networks[(networks["role"] == "trained") & (networks["layer"] != select.NESTED)]
    rows = networks[(networks["model"] == view.model) & networks["step"].notna()]
    if rows["step"].nunique() < 3:
        raise InputError(
            f"{view.dataset}: {view.model} has {rows['step'].nunique()} training steps; a heatmap "
            "needs three or more"
        )
    shown = select.panels(rows)
    columns = style.column_count(len(shown))
    n_layers = rows["layer"].nunique()
    per_row = float(np.clip(0.16 * n_layers + 0.9, 1.7, 4.5))
    subtitle = (
        f"cross-validated r of each layer (colour) at each training step · "
        f"{select.whose_text(scores, view)} · fit {view.fit}"
    )
    size = (11.5, -(-len(shown) // columns) * per_row + 0.5)
    figure = style.frame(view, f"{view.model} in training", subtitle, size)
    axes = style.grid(figure, len(shown), columns, sharex=True, sharey=True)
    low, high = min(0.0, float(networks["r"].min())), float(networks["r"].max())
    for axis, (roi, side) in zip(axes, shown, strict=True):
        here = select.panel(rows, roi, side)
        image = _cells(axis, here, low, high)
    for axis in axes[-columns:]:
        axis.set_xlabel("training step")
    for axis in axes[::columns]:
        axis.set_ylabel("layer (0 = embeddings)")
    ceilings = select.ceilings(rows, shown)
    known = [f"ceiling {value:.2f}" if np.isfinite(value) else "" for value in ceilings]
    style.title_panels(axes, shown, known)
    figure.colorbar(image, ax=axes, label="score, r", aspect=30, pad=0.01)
    return figure


def _cells(axis: "Axes", rows: pd.DataFrame, low: float, high: float):
    import seaborn as sns  # takes seconds to import, and no other figure needs it

    table = rows.pivot_table(index="layer", columns="step", values="r")
    colours = {"cmap": "viridis", "vmin": low, "vmax": high, "cbar": False}
    sns.heatmap(table, ax=axis, xticklabels=False, yticklabels=False, **colours)
    axis.set(xlabel="", ylabel="")
    axis.set_ylim(0, len(table))  # layer 0 below
    image = axis.collections[0]
    share = rows.pivot_table(index="layer", columns="step", values="selected_share")
    share = share.reindex_like(table).fillna(0).to_numpy()
    chosen = share.argmax(axis=0)
    known = np.flatnonzero(share.max(axis=0) > 0)
    axis.plot(
        known + 0.5,
        chosen[known] + 0.5,
        "o",
        markersize=5.5,
        color="white",
        markeredgecolor="black",
        markeredgewidth=1,
        gid="chosen-layer",
    )
    steps = [style.short_count(float(step)) for step in table.columns]
    skip = max(1, len(steps) // 10)
    axis.set_xticks(np.arange(len(steps))[::skip] + 0.5, steps[::skip], rotation=45)
    every = max(1, len(table) // 8)
    axis.set_yticks(
        np.arange(len(table))[::every] + 0.5, [str(layer) for layer in table.index[::every]]
    )
    axis.grid(visible=False)
    return image
