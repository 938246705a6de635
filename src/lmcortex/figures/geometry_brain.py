"""What the geometry of layers has to do with the brain."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import select, style
from lmcortex.figures.geometry import HIGH, LOW, step_ticks
from lmcortex.figures.style import View
from lmcortex.statistics.onsets import LOGARITHMIC

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
REGION_TITLES = {
    "onset50": "half of the rise", "onset90": "90% of the rise",
    "late_gain": "late gain, r", "variability": "variability after it",
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
    A row of panels per model, a panel per ROI, with its noise ceiling.
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
    cells = [(model, panel) for model in models for panel in shown]
    differences = []
    for place, (axis, (model, panel)) in enumerate(zip(axes, cells, strict=True)):
        here = select.panel(rows[rows["model"] == model], *panel)
        by_step = here[here["step"].notna()].sort_values("step")
        places = range(len(by_step))
        axis.plot(places, by_step["r_low"], "o-", color=LOW, markersize=3, gid="low")
        axis.plot(places, by_step["r_high"], "o-", color=HIGH, markersize=3, gid="high")
        step_ticks(axis, by_step["step"].to_numpy(float), most=3)
        mean = here[here["step"].isna()].iloc[0]
        differences.append(
            f"{mean['difference']:+.3f} [{mean['ci_low']:.3f}, {mean['ci_high']:.3f}]"
        )
        if place % len(shown) == 0:
            axis.set_ylabel(f"{model}\nr")
    for axis in axes[-len(shown) :]:
        axis.set_xlabel("training step")
    ceilings = select.ceilings(select.headline(scores, view), shown)
    notes = style.mark_ceilings(axes, ceilings * len(models))
    style.title_panels(axes, [panel for _, panel in cells], differences, notes)
    handles = [style.line("low-complexity module", LOW, marker="o"),
               style.line("high-complexity module", HIGH, marker="o")]  # fmt: skip
    if np.isfinite(ceilings).any() and not any(notes):
        handles.append(style.line("noise ceiling", style.BLACK))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
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
    A column per measure: above, its value in each ROI and model; below, temporal minus frontal, as
    measured (filled) and at matched noise (open).
    """
    contrasts = select.same_view(table, scores, view)
    regions = select.same_view(training, scores, view)
    regions = regions[regions["roi"] != "all"]
    if contrasts.empty:
        message = "No model with four steps, or the dataset names no temporal and frontal regions."
        return style.empty(view, ONSETS_TITLE, message)
    palette = style.colours(select.by_size(contrasts))
    regions = regions[regions["model"].isin(palette)]
    if (one_side := regions["hemisphere"] != "both").any():
        regions = regions[one_side]
    n_columns, n_regions = len(ONSET_LABELS), len(select.panels(regions))
    heights = (0.7 + 0.12 * n_regions * (1 + len(palette)), 0.7 + 0.25 * len(palette))
    subtitle = f"{select.interval_text(scores, view)} · fit {view.fit}"
    figure = style.frame(view, ONSETS_TITLE, subtitle, (13, sum(heights) + 0.8))
    axes = style.grid(figure, 2 * n_columns, n_columns, height_ratios=heights)
    for axis, measure in zip(axes[:n_columns], ONSET_LABELS, strict=True):
        _regions(axis, regions, measure, palette)
    for axis, (measure, label) in zip(axes[n_columns:], ONSET_LABELS.items(), strict=True):
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


def _regions(axis: "Axes", rows: pd.DataFrame, measure: str, palette: dict[str, Any]) -> None:
    """Draw a measure of each region and model; an onset that is never reached is left out."""
    order = select.panels(rows)
    for row in rows.to_dict("records"):
        if not np.isfinite(row[measure]):
            continue
        offset = (list(palette).index(row["model"]) + 0.5) / len(palette) - 0.5
        y = order.index((row["roi"], row["hemisphere"])) + 0.7 * offset
        colour = palette[row["model"]]
        ends = [row[f"{measure}_ci_low"], row[f"{measure}_ci_high"]]
        if measure in LOGARITHMIC:  # an end that no resample reaches lies beyond training
            ends = [min(end, row["last_step"]) for end in ends]
        axis.plot(ends, [y, y], color=colour, linewidth=1.1)
        axis.plot(row[measure], y, "o", color=colour, markersize=4.5, gid=measure)
    if measure in LOGARITHMIC:
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(rows["first_step"].min(), 1.2 * rows["last_step"].max())
        axis.set_xlabel("training step")
    axis.set_yticks(range(len(order)), [style.panel_title(*place) for place in order], size=8)
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.set_title(REGION_TITLES[measure])


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
    taken out (open), with 95% CI for autocorrelated cells; models from small to large. Of three or
    more sizes, last, partial r of all targets together against size.
    """
    rows = select.same_view(table, scores, view)
    rows = rows[rows["first_choice"].astype(bool) & rows["control"].isin(["log step", "steps"])]
    growth, rows = (rows[rows["method"] == method] for method in ("growth", "pearson"))
    if rows.empty:
        return style.empty(view, RELATION_TITLE, "No model has four layers and four steps.")
    models, shown = select.by_size(rows), select.panels(rows)
    by_size = select.panel(rows, *shown[0])
    grown = select.panel(growth, *shown[0])
    n_panels = len(shown) + bool(len(grown))
    columns = style.column_count(n_panels)
    subtitle = (
        "partial correlation over layers and steps; below 0: lower goes with better prediction\n"
        f"{select.whose_text(scores, view)} · bars: 95% CI, cells autocorrelated · fit {view.fit}"
    )
    size = (11.5, -(-n_panels // columns) * (1.1 + 0.45 * len(models)) + 0.9)
    figure = style.frame(view, RELATION_TITLE, subtitle, size)
    axes = style.grid(figure, n_panels, columns)
    places = {("entropy", "log step"): -0.27, ("entropy", "steps"): -0.12,
              ("curvature", "log step"): 0.12, ("curvature", "steps"): 0.27}  # fmt: skip
    for number, (axis, panel) in enumerate(zip(axes, shown, strict=False)):
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
        axis.set_yticks(range(len(models)), models if number % columns == 0 else [])
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.set(xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1))
        axis.set_xlabel("partial r")
        axis.set_title(style.panel_title(*panel))
    if len(grown):
        _growth(axes[-1], by_size, grown, style.panel_title(*shown[0]))
    handles = [
        *(style.line(measure, colour, marker="o") for measure, colour in MEASURE_COLOURS.items()),
        style.line("log step taken out", "#444444", "none", "o"),
        style.line("each step taken out", "#444444", "none", "o", hollow=True),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _growth(axis: "Axes", rows: pd.DataFrame, grown: pd.DataFrame, targets: str) -> None:
    """Draw partial r against size, log step taken out; the slope is Fisher's z per tenfold size."""
    texts = []
    for place, (measure, colour) in enumerate(MEASURE_COLOURS.items()):
        chosen = [
            part[(part["measure"] == measure) & (part["control"] == "log step")]
            for part in (rows, grown)
        ]
        points = chosen[0].sort_values("n_params")
        sizes = points["n_params"].to_numpy(float) * (1 + 0.08 * (place - 0.5))
        axis.plot(
            sizes, points["estimate"], "o-", color=colour, markersize=5, gid=f"by size, {measure}"
        )
        axis.vlines(sizes, points["ci_low"], points["ci_high"], color=colour, linewidth=1.2)
        texts += [
            f"slope of z, {measure}: {slope:+.2f} [{low:.2f}, {high:.2f}]"
            for slope, low, high in chosen[1][["estimate", "ci_low", "ci_high"]].to_numpy()
        ]
    axis.axhline(0, color=style.BLACK, linewidth=0.9)
    axis.set_ylim(-1, 1)
    axis.set_xscale("log")
    style.size_ticks(axis, rows["n_params"].astype(float))
    axis.set_xlabel("parameters")
    axis.set_ylabel("partial r")
    axis.set_title(f"{targets}, by size" + "\n" * len(texts))
    style.second_line(axis, "\n".join(texts))


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
