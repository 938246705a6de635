"""Integration windows: what swaps change, the windows of units, their fits, yoking, the brain."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.colors
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import select, style
from lmcortex.figures.style import View
from lmcortex.windows.fits import UNDEFINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

FITS_TITLE = "What windows do layers have?"
YOKING_TITLE = "Do windows end at the borders of sentences?"
UNITS_TITLE = "How far back do units remember?"
DIFFERENCES_TITLE = "Which words feel a swap?"
RELATION_TITLE = "Do layers with longer windows predict better?"
NO_SERIES = "This text has no series of sentences."
PARAMETERS = {
    "length": "length (words)",
    "mixture_weight": "weight of the power law",
    "mixture_exponent": "exponent of the power law",
    "mixture_rate": "rate of the exponential",
    "power_tail": "units ending in a power law",
}
PUBLISHED = {"mixture_weight": "weight", "mixture_exponent": "exponent"}
FORM_COLOURS = {
    "flat": style.GREY, "exponential": style.VERMILLION,
    "power": style.BLUE, "mixture": style.BLACK,
}  # fmt: skip
MEASURE_COLOURS = {
    "length": style.BLUE, "mixture_weight": style.GREEN,
    "mixture_exponent": style.ORANGE, "yoking": style.VERMILLION,
}  # fmt: skip
N_UNITS = 60  # drawn of each layer
N_LAYERS = 8  # panels of windows
N_HEATMAPS = 4
N_LENGTHS = 4  # lengths of sentences that have a panel
FLOOR = 1e-3  # of a difference at lag 0: darkest


def window_fits(table: pd.DataFrame, spec: Mapping[str, Any]) -> Figure:
    """Draw length, mixture and held-out error of every layer, through training.

    Parameters
    ----------
    table : table `windows`.
    spec : `text`, and `published` medians or None (`config.Published`).

    Returns
    -------
    A row of panels per model, and another for the future of one that is not causal: the length of
    windows, the three parameters of the mixture over layers (of units whose mixture ends in the
    power law) and the share of these units, a line for each step; at the last step, the held-out
    error of each form.
    """
    rows = table[(table["text"] == spec["text"]) & (table["layer"] > 0)]
    shown = model_sides(rows)
    last = rows[rows["final"].astype(bool) & (rows["role"] == "trained")]
    shares = f"{last['mixture_best'].mean():.0%}" if len(last) else "none"
    subtitle = (
        f"medians over {rows['n_units'].max()} units of a layer · last checkpoints: the mixture "
        f"predicts the held-out sequences best in {shares} of units"
    )
    size = (15, 2.3 * len(shown) + 0.5)
    figure = style.frame(View(spec["text"]), FITS_TITLE, subtitle, size)
    n_columns = len(PARAMETERS) + 1
    axes = style.grid(figure, n_columns * len(shown), n_columns)
    marked = False
    for number, (name, model, side) in enumerate(shown):
        own = rows[(rows["model"] == model) & (rows["side"] == side)]
        start = number * n_columns
        for axis, (column, label) in zip(axes[start:], PARAMETERS.items(), strict=False):
            by_step(axis, own, column)
            axis.set_ylabel(f"{name}\n{label}" if axis is axes[start] else label)
            published = spec["published"]
            if column in PUBLISHED and published and published["model"] == model:
                marks = published[PUBLISHED[column]]
                axis.plot(
                    [int(layer) for layer in marks], list(marks.values()), "*",
                    color=style.VERMILLION, markersize=11, zorder=5, gid="published",
                )  # fmt: skip
                marked = True
        _held_out(axes[start + n_columns - 1], own[own["final"].astype(bool)])
    for axis in axes[-n_columns:]:
        axis.set_xlabel("layer")
    handles = [
        *step_handles(rows),
        *(style.line(f"held out: {form}", colour) for form, colour in FORM_COLOURS.items()),
    ]
    if marked:
        cited = spec["published"]["citation"]
        handles.append(style.line(f"published: {cited}", style.VERMILLION, "none", "*"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def model_sides(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return what a row of panels shows, its model and side; a model that is causal has one row."""
    found = []
    for model in select.by_size(rows):
        sides = sorted(set(rows.loc[rows["model"] == model, "side"]), reverse=True)  # past first
        found += [(model if side == "past" else f"{model}, future", model, side) for side in sides]
    return found


def _held_out(axis: "Axes", rows: pd.DataFrame) -> None:
    rows = rows[rows["role"] == "trained"].sort_values("layer")
    for form, colour in FORM_COLOURS.items():
        error = np.maximum(rows[f"mse_{form}"].to_numpy(float), 1e-8)
        axis.plot(rows["layer"], error, "o-", color=colour, markersize=3, gid=f"mse-{form}")
    axis.locator_params(axis="x", integer=True)
    axis.set_yscale("log")
    axis.set_ylabel("held-out squared error")


def by_step(axis: "Axes", rows: pd.DataFrame, column: str) -> None:
    """Draw a column over layers: one line per training step, the untrained twin dashed."""
    steps = np.sort(rows["step"].dropna().unique())
    colours = step_colours(len(steps))
    for checkpoint, part in rows.groupby("checkpoint", sort=False):
        line = part.sort_values("layer")
        step = part["step"].iloc[0]
        twin = part["role"].iloc[0] == "untrained"
        colour = style.SKY if twin else style.BLACK
        if np.isfinite(step):
            colour = colours[int(np.searchsorted(steps, step))]
        axis.plot(
            line["layer"], line[column], "--" if twin else "-", color=colour, linewidth=1.5,
            marker="o", markersize=2.5, gid=str(checkpoint),
        )  # fmt: skip
    axis.locator_params(axis="x", integer=True)


def step_colours(n: int) -> list[Any]:
    """Return a colour for each step, the last one the darkest."""
    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.95, n)[::-1]))


def step_handles(rows: pd.DataFrame) -> "list[Line2D]":
    """Return legend entries for the first and last steps, a step between them, and the twins."""
    steps = np.sort(rows["step"].dropna().unique())
    colours = step_colours(len(steps))
    places = np.unique(np.linspace(0, len(steps) - 1, min(3, len(steps))).round().astype(int))
    handles = [
        style.line(f"step {style.short_count(float(steps[place]))}", colours[place])
        for place in places
    ]
    if rows["step"].isna().any() and (rows["role"] == "trained").any():
        handles.append(style.line("one checkpoint", style.BLACK))
    if (rows["role"] == "untrained").any():
        handles.append(style.line("untrained", style.SKY, "--"))
    return handles


def yoking(table: pd.DataFrame, spec: Mapping[str, Any]) -> Figure:
    """Draw the structure yoking of every layer, through training.

    Parameters
    ----------
    table : table `yoking`.
    spec : `text`.

    Returns
    -------
    A row of panels per model, and another for the future of one that is not causal, a panel per
    length of sentences; the bar spans the quartiles of units at the last step.
    """
    rows = table[(table["text"] == spec["text"]) & (table["layer"] > 0)]
    shown, lengths = model_sides(rows), some_of(sorted(set(rows["unit_words"])), N_LENGTHS)
    last = rows[rows["final"].astype(bool) & (rows["role"] == "trained")]
    top = last[last["layer"] == last["n_layers"]]["index"].median()
    twins = rows[rows["role"] == "untrained"]["index"].median()
    subtitle = (
        "first word of a sentence against the last before it: felt in the words that follow · "
        f"median over units\nlast layers {top:.3f}, untrained {twins:.3f} · bars: quartiles"
    )
    size = (max(7.5, 3.2 * len(lengths)), 2.3 * len(shown) + 0.5)
    figure = style.frame(View(spec["text"]), YOKING_TITLE, subtitle, size)
    axes = style.grid(figure, len(lengths) * len(shown), len(lengths))
    for place, axis in enumerate(axes):
        (name, model, side), length = shown[place // len(lengths)], lengths[place % len(lengths)]
        own = rows[(rows["model"] == model) & (rows["side"] == side)]
        own = own[own["unit_words"] == length]
        by_step(axis, own, "index")
        final = own[own["final"].astype(bool) & (own["role"] == "trained")]
        axis.vlines(
            final["layer"], final["index_low"], final["index_high"], color=style.GREY, linewidth=1
        )
        axis.axhline(0, color=style.BLACK, linewidth=0.8, linestyle="--")
        axis.set_title(f"sentences of {length} words")
        axis.set_ylabel(f"{name}\nyoking index" if place % len(lengths) == 0 else "")
    for axis in axes[-len(lengths) :]:
        axis.set_xlabel("layer")
    figure.legend(handles=step_handles(rows), loc="outside lower center", ncols=5)
    return figure


def windows(runs: Sequence[pd.DataFrame], spec: Mapping[str, Any]) -> Figure:
    """Draw the windows of single units at layers of a model.

    Parameters
    ----------
    runs : tables of `windows.measure.fitted_rows`: the last checkpoint, then perhaps earlier ones
        and the untrained twin.
    spec : `text`, `model` and `checkpoints`, the names of the runs.

    Returns
    -------
    A panel per layer: up to 60 units grey, the mean over all of them black, those of the other runs
    dashed. The words before the measured one are negative, those after it positive.
    """
    first = runs[0]
    layers = some_of(sorted(set(first["layer"])), N_LAYERS)
    both = "future" in set(first["side"])
    subtitle = (
        f"difference of a unit by how many words away the swapped one is, over its own · "
        f"{spec['model']} {spec['checkpoints'][0]}, {first['unit'].nunique()} units"
    )
    others = dict(zip(spec["checkpoints"][1:], run_colours(spec["checkpoints"][1:]), strict=True))
    size = (11.5, 2.3 * -(-len(layers) // 4) + 0.4)
    figure = style.frame(View(spec["text"]), UNITS_TITLE, subtitle, size)
    axes = style.grid(figure, len(layers), 4, sharex=True, sharey=True)
    for axis, layer in zip(axes, layers, strict=True):
        here = first[(first["layer"] == layer) & (first["kind"] != UNDEFINED)]
        for side, part in here.groupby("side"):
            curves = np.stack(part["window"].to_list())
            away = (-1 if side == "past" else 1) * np.arange(curves.shape[1])
            shown = some_of(range(len(curves)), N_UNITS)
            axis.plot(away, curves[list(shown)].T, color="#BBBBBB", linewidth=0.5, gid="unit")
            axis.plot(away, curves.mean(axis=0), color=style.BLACK, linewidth=2, gid="mean")
        for (name, colour), run in zip(others.items(), runs[1:], strict=True):
            own = run[(run["layer"] == layer) & (run["kind"] != UNDEFINED)]
            for side, part in own.groupby("side"):
                mean = np.stack(part["window"].to_list()).mean(axis=0)
                away = (-1 if side == "past" else 1) * np.arange(len(mean))
                axis.plot(away, mean, "--", color=colour, linewidth=1.6, gid=name)
        median = here.loc[here["side"] == "past", "length"].median()
        axis.set_title(f"layer {layer}\n")
        style.second_line(axis, f"length {median:.2f} words")
    axes[0].set_ylim(-0.02, 1.1)
    for axis in axes[-min(4, len(layers)) :]:
        axis.set_xlabel("swapped word, from here" if both else "words before")
    handles = [style.line("a unit", "#BBBBBB"), style.line("mean of units", style.BLACK)]
    handles += [style.line(f"mean, {name}", colour, "--") for name, colour in others.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def run_colours(names: Sequence[str]) -> list[Any]:
    """Return a colour for each further run: the untrained twin as in other figures."""
    earlier = iter((style.ORANGE, style.GREEN))
    return [style.SKY if name.startswith("untrained") else next(earlier) for name in names]


def some_of(values: Sequence[Any], n: int) -> list[Any]:
    """Return at most `n` of the values, evenly, the first and the last among them."""
    places = np.unique(np.linspace(0, len(values) - 1, min(n, len(values))).round().astype(int))
    return [values[place] for place in places]


def differences(runs: Sequence[Mapping[str, np.ndarray]], spec: Mapping[str, Any]) -> Figure:
    """Draw how much each word's state changes when another is swapped.

    Parameters
    ----------
    runs : arrays of `windows.measure.Windows.differences`: the last checkpoint, then perhaps
        earlier ones and the untrained twin.
    spec : `text`, `model` and `checkpoints`, the names of the runs.

    Returns
    -------
    A row of panels per run: layers, measured word (right) against swapped word (down), with the
    borders of sentences.
    """
    keys = [name.split("/") for name in runs[0]]
    if not keys:
        return style.empty(View(spec["text"]), DIFFERENCES_TITLE, NO_SERIES)
    lengths = sorted({int(key[0]) for key in keys})
    length = 12 if 12 in lengths else lengths[0]
    layers = some_of(sorted({int(key[2]) for key in keys} - {0}), N_HEATMAPS)
    subtitle = (
        f"{spec['model']} · mean over units, each over its own change when the word itself is "
        f"swapped · sentences of {length} words, in random order"
    )
    size = (11.5, 2.75 * len(runs) + 0.2)
    figure = style.frame(View(spec["text"]), DIFFERENCES_TITLE, subtitle, size)
    axes = style.grid(figure, len(layers) * len(runs), len(layers))
    images = []
    for place, axis in enumerate(axes):
        number, layer = place // len(layers), layers[place % len(layers)]
        matrix = swapped_by_measured(runs[number], f"{length:02d}/{{}}/{layer:02d}")
        norm = matplotlib.colors.LogNorm(FLOOR, 1)
        images.append(
            axis.imshow(np.maximum(matrix, FLOOR), norm=norm, cmap="magma", gid="differences")
        )
        borders = np.arange(length, len(matrix), length) - 0.5
        axis.vlines(borders, -0.5, len(matrix) - 0.5, color="white", linewidth=0.5, alpha=0.7)
        axis.hlines(borders, -0.5, len(matrix) - 0.5, color="white", linewidth=0.5, alpha=0.7)
        axis.grid(False)
        axis.set_title(f"layer {layer}")
        ticks = np.arange(0, len(matrix), length)
        axis.set_xticks(ticks)
        axis.set_yticks(ticks)
        if place % len(layers) == 0:
            axis.set_ylabel(f"{spec['checkpoints'][number]}\nswapped word")
    for axis in axes[-len(layers) :]:
        axis.set_xlabel("measured word")
    figure.colorbar(images[0], ax=axes, label="difference", pad=0.01, fraction=0.03)
    return figure


def swapped_by_measured(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Lay differences (words x lags) out as (swapped x measured word).

    Parameters
    ----------
    name : of an array, `{}` for its side.
    """
    past = arrays[name.format("past")]
    n = len(past)
    matrix = np.zeros((n, n))
    for word in range(n):
        matrix[word, word:] = past[word, : n - word]
    future = arrays.get(name.format("future"))
    if future is not None:
        for word in range(n):
            matrix[word, : word + 1] = future[n - 1 - word, : word + 1][::-1]
    return matrix


def window_relation(table: pd.DataFrame, scores: pd.DataFrame, view: View) -> Figure:
    """Draw the partial correlation of windows and score for each ROI and model.

    Parameters
    ----------
    table : table `windows_brain`.
    scores : master table.
    view : dataset, fit and subject to show.

    Returns
    -------
    A panel per ROI: partial r with log step and depth taken out (filled) and with a column for each
    step and depth taken out (open), with 95% CI for autocorrelated cells. Of several texts and
    lengths of sentences, the first.
    """
    rows = select.same_view(table, scores, view)
    rows = rows[(rows["method"] == "pearson")]
    rows = rows[rows["control"].isin(["log step, depth", "steps, depth"])]
    if rows.empty:
        return style.empty(view, RELATION_TITLE, "No model has four layers and four steps.")
    rows = rows[rows["text"] == rows["text"].iloc[0]]
    lengths = [name for name in rows["measure"].unique() if name.startswith("yoking")]
    kept = [name for name in MEASURE_COLOURS if name != "yoking"] + lengths[:1]
    rows = rows[rows["measure"].isin(kept)]
    models, shown = select.by_size(rows), select.panels(rows)
    columns = style.column_count(len(shown))
    subtitle = (
        f"partial correlation over layers and steps; above 0: longer windows go with better "
        f"prediction · text {rows['text'].iloc[0]}\n{select.whose_text(scores, view)} · bars: "
        f"95% CI, cells autocorrelated · fit {view.fit}"
    )
    size = (11.5, -(-len(shown) // columns) * (1.0 + 0.8 * len(models)) + 0.9)
    figure = style.frame(view, RELATION_TITLE, subtitle, size)
    axes = style.grid(figure, len(shown), columns, sharex=True, sharey=True)
    measures = [name for name in kept if name in set(rows["measure"])]
    for axis, panel in zip(axes, shown, strict=True):
        for _, row in select.panel(rows, *panel).iterrows():
            filled = row["control"] == "log step, depth"
            offset = (measures.index(row["measure"]) + (0.15 if filled else 0.5)) / len(measures)
            y = models.index(row["model"]) + 0.8 * (offset - 0.4)
            colour = MEASURE_COLOURS[row["measure"].partition("-")[0]]
            axis.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.2)
            axis.plot(
                row["estimate"], y, "o", color=colour, markersize=4.5,
                markerfacecolor=colour if filled else "white",
                gid=f"{row['measure']}, {row['control']}",
            )  # fmt: skip
        axis.axvline(0, color=style.BLACK, linewidth=0.9)
        axis.set_title(style.panel_title(*panel))
        axis.set_yticks(range(len(models)), models)
        axis.set_ylim(len(models) - 0.45, -0.55)
        axis.set(xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1))
    for axis in axes[-columns:]:
        axis.set_xlabel("partial r")
    handles = [
        style.line(name.replace("_", " "), MEASURE_COLOURS[name.partition("-")[0]], marker="o")
        for name in measures
    ]
    handles += [
        style.line("log step and depth taken out", "#444444", "none", "o"),
        style.line("each step and depth taken out", "#444444", "none", "o", hollow=True),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
