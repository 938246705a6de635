"""What the geometry of layers has to do with the brain."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import select, style
from lmcortex.figures.geometry import HIGH, LOW, step_ticks
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODULES_TITLE = "Which module predicts the brain?"
ONSETS_TITLE = "Temporal or frontal regions first?"
RELATION_TITLE = "Do flatter layers predict better?"
VARIANTS_TITLE = "Does it hang on how geometry is measured?"
MEASURE_COLOURS = {"entropy": style.GREEN, "curvature": style.VERMILLION}
ONSET_LABELS = {
    "onset50": "log10 onset50", "onset90": "log10 onset90",
    "late_gain": "late gain, r", "variability": "variability",
}  # fmt: skip


def module_scores(table: pd.DataFrame, scores: pd.DataFrame, view: View) -> Figure:
    """Draw the mean score of each module against training step.

    Parameters
    ----------
    table : table `module_scores`.
    scores : master table, for the ceilings.
    view : dataset, fit and subject to show.

    Returns
    -------
    A row of panels per model, a panel per ROI.
    """
    rows = select.same_view(table, scores, view)
    rows = rows[(rows["choice"] == "first choice") & (rows["membership"] == "step")]
    if rows.empty:
        return style.empty(view, MODULES_TITLE, "No model has four layers and four steps.")
    models, shown = select.by_size(rows), select.panels(rows)
    subtitle = (
        "mean cross-validated r of the layers of each module · "
        f"{select.whose_text(scores, view)} · difference low - high with 95% CI · fit {view.fit}"
    )
    size = (max(11.5, 1.75 * len(shown)), 2.2 * len(models) + 0.5)
    figure = style.frame(view, MODULES_TITLE, subtitle, size)
    axes = style.grid(figure, len(models) * len(shown), len(shown), sharey=True)
    for place, axis in enumerate(axes):
        model, panel = models[place // len(shown)], shown[place % len(shown)]
        here = select.panel(rows[rows["model"] == model], *panel)
        by_step = here[here["step"].notna()].sort_values("step")
        places = range(len(by_step))
        axis.plot(places, by_step["r_low"], "o-", color=LOW, markersize=3, gid="low")
        axis.plot(places, by_step["r_high"], "o-", color=HIGH, markersize=3, gid="high")
        step_ticks(axis, by_step["step"].to_numpy(float), most=3)
        mean = here[here["step"].isna()].iloc[0]
        axis.set_title(style.panel_title(*panel) + "\n")
        style.second_line(
            axis, f"{mean['difference']:+.3f} [{mean['ci_low']:.3f}, {mean['ci_high']:.3f}]"
        )
        if place % len(shown) == 0:
            axis.set_ylabel(f"{model}\nr")
    for axis in axes[-len(shown) :]:
        axis.set_xlabel("training step")
    handles = [style.line("low-complexity module", LOW, marker="o"),
               style.line("high-complexity module", HIGH, marker="o")]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def onsets(table: pd.DataFrame, training: pd.DataFrame, scores: pd.DataFrame, view: View) -> Figure:
    """Draw when each region comes to be predicted, and how temporal and frontal ones differ.

    Parameters
    ----------
    table : table `onset_contrasts`.
    training : table `training`.
    scores : master table.
    view : dataset, fit and subject to show.

    Returns
    -------
    Left, onset90 of each ROI and model; then, for each measure, temporal minus frontal, as measured
    (filled) and at matched noise (open).
    """
    contrasts = select.same_view(table, scores, view)
    regions = select.same_view(training, scores, view)
    regions = regions[regions["roi"] != "all"]
    if contrasts.empty:
        message = "No model with four steps, or the dataset names no temporal and frontal regions."
        return style.empty(view, ONSETS_TITLE, message)
    palette = style.colours(select.by_size(contrasts))
    subtitle = f"{select.interval_text(scores, view)} · fit {view.fit}"
    figure = style.frame(view, ONSETS_TITLE, subtitle, (11.5, 3.4))
    axes = style.grid(figure, 1 + len(ONSET_LABELS), 5)
    _region_onsets(axes[0], regions[regions["model"].isin(palette)], palette)
    for axis, (measure, label) in zip(axes[1:], ONSET_LABELS.items(), strict=True):
        here = contrasts[contrasts["measure"] == measure]
        for place, (model, colour) in enumerate(palette.items()):
            of_model = here[here["model"] == model]
            for offset, (_, row) in zip((-0.12, 0.12), of_model.iterrows(), strict=False):
                hollow = row["noise"] == "matched"
                face = "white" if hollow else colour
                ends = [row["ci_low"], row["ci_high"]]
                axis.plot(ends, [place + offset] * 2, color=colour, linewidth=1.1)
                axis.plot(
                    row["difference"], place + offset, "o", color=colour,
                    markerfacecolor=face, markersize=5, gid=row["noise"],
                )  # fmt: skip
        axis.axvline(0, color=style.BLACK, linewidth=0.9)
        axis.set_ylim(len(palette) - 0.5, -0.5)
        axis.set_yticks([])
        axis.set_title("temporal - frontal")
        axis.set_xlabel(label)
    handles = [style.line(style.display_name(m), c, marker="o") for m, c in palette.items()]
    handles.append(style.line("at matched noise", "#444444", "none", "o", hollow=True))
    figure.legend(handles=handles, loc="outside lower center", ncols=6)
    return figure


def _region_onsets(axis: "Axes", rows: pd.DataFrame, palette: dict[str, Any]) -> None:
    rows = rows[rows["hemisphere"] != "both"]
    names = [f"{roi} {side}" for roi, side in zip(rows["roi"], rows["hemisphere"], strict=True)]
    order = list(dict.fromkeys(names))
    for name, (_, row) in zip(names, rows.iterrows(), strict=True):
        if np.isfinite(row["onset90"]):
            offset = 0.5 * list(palette).index(row["model"]) / max(len(palette), 1) - 0.2
            axis.plot(
                row["onset90"], order.index(name) + offset, "o",
                color=palette[row["model"]], markersize=4.5, gid="onset90",
            )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yticks(range(len(order)), order)
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.set_title("onset90")
    axis.set_xlabel("training step")


def relation(table: pd.DataFrame, scores: pd.DataFrame, view: View) -> Figure:
    """Draw the partial correlation of geometry and score for each ROI and model.

    Parameters
    ----------
    table : table `geometry_brain`.
    scores : master table.
    view : dataset, fit and subject to show.

    Returns
    -------
    A panel per ROI: partial r with log step taken out (filled) and with a column for each step
    taken out (open), with 95% CI for autocorrelated cells; models from small to large.
    """
    rows = select.same_view(table, scores, view)
    rows = rows[(rows["method"] == "pearson") & rows["layers_low"].notna()]
    rows = rows[rows["control"].isin(["log step", "steps"])]
    if rows.empty:
        return style.empty(view, RELATION_TITLE, "No model has four layers and four steps.")
    models, shown = select.by_size(rows), select.panels(rows)
    columns = style.column_count(len(shown))
    subtitle = (
        "partial correlation over layers and steps; below 0: lower goes with better prediction\n"
        f"{select.whose_text(scores, view)} · bars: 95% CI, cells autocorrelated · fit {view.fit}"
    )
    size = (11.5, -(-len(shown) // columns) * (0.9 + 0.45 * len(models)) + 0.9)
    figure = style.frame(view, RELATION_TITLE, subtitle, size)
    axes = style.grid(figure, len(shown), columns, sharex=True, sharey=True)
    places = {("entropy", "log step"): -0.27, ("entropy", "steps"): -0.12,
              ("curvature", "log step"): 0.12, ("curvature", "steps"): 0.27}  # fmt: skip
    for axis, panel in zip(axes, shown, strict=True):
        for _, row in select.panel(rows, *panel).iterrows():
            y = models.index(row["model"]) + places[row["measure"], row["control"]]
            colour = MEASURE_COLOURS[row["measure"]]
            face = colour if row["control"] == "log step" else "white"
            axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.2)
            axis.plot(
                row["estimate"], y, "o", color=colour, markerfacecolor=face, markersize=5,
                gid=f"{row['measure']}, {row['control']}",
            )  # fmt: skip
        axis.axvline(0, color=style.BLACK, linewidth=0.9)
        axis.set_yticks(range(len(models)), models)
        axis.set_title(style.panel_title(*panel))
    axes[0].set_ylim(len(models) - 0.5, -0.5)
    axes[0].set_xlim(-1, 1)
    for axis in axes[-columns:]:
        axis.set_xlabel("partial r")
    handles = [
        *(style.line(measure, colour, marker="o") for measure, colour in MEASURE_COLOURS.items()),
        style.line("log step taken out", "#444444", "none", "o"),
        style.line("each step taken out", "#444444", "none", "o", hollow=True),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def variants(table: pd.DataFrame, scores: pd.DataFrame, view: View) -> Figure:
    """Draw the partial correlation with all targets together under every variant of the geometry.

    Parameters
    ----------
    table : table `geometry_brain`.
    scores : master table.
    view : dataset, fit and subject to show.

    Returns
    -------
    One panel per model: a row for each variant, log step taken out (left half of a cell) and each
    step taken out (right half); coloured by partial r, the intervals that do not hold 0 marked.
    """
    rows = select.same_view(table, scores, view)
    rows = rows[(rows["method"] == "pearson") & (rows["roi"] == "all")]
    rows = select.panel(rows, *select.panels(rows)[0]) if len(rows) else rows
    rows = rows[rows["control"].isin(["log step", "steps"])]
    if rows.empty:
        return style.empty(view, VARIANTS_TITLE, "No model has four layers and four steps.")
    models = select.by_size(rows)
    named = rows.assign(name=[variant_name(row) for _, row in rows.iterrows()])
    order = list(dict.fromkeys(named["name"]))
    lasts = list(dict.fromkeys(named["last_layer"]))
    subtitle = (
        "partial r, all targets · columns: log step or each step taken out, last layer as named · "
        f"dots: 95% CI without 0 · fit {view.fit}"
    )
    size = (max(8, 2.2 + 2.6 * len(models)), 0.24 * len(order) + 1.9)
    figure = style.frame(view, VARIANTS_TITLE, subtitle, size)
    axes = style.grid(figure, len(models), len(models), sharey=True)
    labels = [(last, control) for last in lasts for control in ("log step", "steps")]
    for axis, model in zip(axes, models, strict=True):
        values = np.full((len(order), len(labels)), np.nan)
        for _, row in named[named["model"] == model].iterrows():
            y, x = order.index(row["name"]), labels.index((row["last_layer"], row["control"]))
            values[y, x] = row["estimate"]
            if row["ci_low"] > 0 or row["ci_high"] < 0:
                axis.plot(x, y, ".", color=style.BLACK, markersize=4, gid="apart")
        image = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", gid="variants")
        axis.grid(False)
        ticks = [f"{last}, {control}" for last, control in labels]
        axis.set_xticks(range(len(labels)), ticks, rotation=60, ha="right", size=7)
        axis.set_yticks(range(len(order)), order, size=7.5)
        axis.set_title(model)
    figure.colorbar(image, ax=axes, label="partial r", pad=0.01)
    return figure


def variant_name(row: pd.Series) -> str:
    unit = " / log tokens" if row["unit"] == "log tokens" else ""
    tokens = "" if row["first_token"] else ", no first token"
    return f"{row['measure']} {row['variant']}{unit}{tokens}"
