"""Whether a left advantage comes with training: left minus right over steps, and its gain."""

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmcortex.figures import select, style
from lmcortex.figures.style import View
from lmcortex.figures.training import step_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Does the left advantage come with training?"
LEAST_STEPS = 2
UNTRAINED = "untrained"


def emergence(
    scores: pd.DataFrame, differences: pd.DataFrame, contrasts: pd.DataFrame, view: View
) -> Figure:
    """Draw left minus right over training, and its gain over twins and baselines.

    Parameters
    ----------
    scores : master table.
    differences, contrasts : tables `lateralization` and `lateralization_contrasts`.
    view : dataset, fit and subject to show.

    Returns
    -------
    One column per ROI that has both sides. Top row, where a model has several checkpoints: left
    minus right r against training step, each model a line with its 95% band, baselines dotted.
    Bottom row: left minus right of each model's last checkpoint, less that of its untrained twin
    and of each baseline, with the 95% interval of the paired difference.
    """
    gains = select.same_view(contrasts, scores, view)
    gains = gains[select.finite(gains["gain"]) & gains["final"].astype(bool)]
    if gains.empty:
        message = "No ROI of this dataset was measured on both sides, or nothing to compare with."
        return style.empty(view, TITLE, message)
    shown = select.same_view(differences, scores, view)
    learning = shown[shown["role"].isin(["trained", "planted"]) & shown["step"].notna()]
    learning = learning[learning.groupby("model")["step"].transform("nunique") >= LEAST_STEPS]
    rois = sorted(dict.fromkeys(gains["roi"]), key=lambda roi: roi != "all")
    models = select.by_size(gains)
    tall = 0.3 * len(models) + 0.7
    heights = [2.4, tall] if len(learning) else [tall]
    subtitle = (
        f"left - right of nested cross-validated r · {select.interval_text(scores, view)} · "
        f"fit {view.fit}"
    )
    figure = style.frame(view, TITLE, subtitle, (12, sum(heights) + 0.5))
    grid = figure.subplots(
        len(heights),
        len(rois),
        squeeze=False,
        sharex="row",
        sharey="row",
        gridspec_kw={"height_ratios": heights},
    )
    references = style.colours(
        sorted(set(gains["against"]), key=lambda name: (name != UNTRAINED, name))
    )
    palette = style.shades(select.by_size(learning)) if len(learning) else {}
    for column, roi in enumerate(rois):
        grid[0, column].set_title(style.panel_title(roi, "both"))
        if palette:
            _over_steps(grid[0, column], shown[shown["roi"] == roi], learning, palette, references)
        _gains(grid[-1, column], gains[gains["roi"] == roi], models, references)
    if palette:
        steps = learning["step"]
        step_axis(list(grid[0]), float(steps[steps > 0].min()), float(steps.max()))
        grid[0, 0].set_ylabel("left - right, r")
    grid[-1, 0].set_yticks(range(len(models)), [style.display_name(model) for model in models])
    grid[-1, 0].set_ylim(len(models) - 0.4, -0.6)
    figure.legend(handles=_legend(palette, references), loc="outside lower center", ncols=5)
    return figure


def _over_steps(
    axis: "Axes",
    rows: pd.DataFrame,
    learning: pd.DataFrame,
    palette: dict[str, Any],
    references: dict[str, Any],
) -> None:
    axis.axhline(0, color="#777777", linewidth=0.9)
    axis.set_xlabel("training step")
    for model, colour in palette.items():
        here = rows[(rows["model"] == model) & rows.index.isin(learning.index)]
        _curve(axis, here.sort_values("step"), colour)
    for name, colour in references.items():
        baseline = rows[(rows["model"] == name) & (rows["role"] == "baseline")]
        if len(baseline):
            axis.axhline(baseline["difference"].mean(), color=colour, linestyle=":", linewidth=1.4)


def _curve(axis: "Axes", rows: pd.DataFrame, colour: Any) -> None:
    axis.fill_between(
        rows["step"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.15, linewidth=0
    )
    axis.plot(
        rows["step"], rows["difference"], color=colour, marker="o", markersize=3.5, gid="emergence"
    )


def _gains(axis: "Axes", rows: pd.DataFrame, models: list[str], references: dict[str, Any]) -> None:
    axis.axvline(0, color="#777777", linewidth=0.9)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("gain, r")
    axis.locator_params(axis="x", nbins=3)
    axis.tick_params(axis="x", labelsize=8)
    position = {model: y for y, model in enumerate(models)}
    for index, (against, colour) in enumerate(references.items()):
        here = rows[rows["against"] == against]
        y = here["model"].map(position) + 0.55 * ((index + 0.5) / len(references) - 0.5)
        axis.hlines(y, here["ci_low"], here["ci_high"], color=colour, linewidth=1.2)
        marker = style.MARKERS[index % len(style.MARKERS)]
        axis.plot(
            here["gain"], y, marker, color=colour, markersize=4.5, linestyle="none", gid="gains"
        )


def _legend(palette: dict[str, Any], references: dict[str, Any]) -> list[Line2D]:
    handles = [
        style.line(f"less {'its twin' if name == UNTRAINED else name}", colour, "none", marker)
        for (name, colour), marker in zip(references.items(), style.MARKERS, strict=False)
    ]
    handles += [
        style.line(style.display_name(model), colour, marker="o")
        for model, colour in palette.items()
    ]
    if palette:
        handles.append(style.line("baselines", style.GREY, ":"))
    return handles
