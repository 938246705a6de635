"""The geometry of layers through training: entropy and curvature, and the modules they form."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lmcortex.figures import select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GEOMETRY_TITLE = "How does training shape the layers?"
MODULES_TITLE = "Do layers form modules, and when?"
MEASURES = ("entropy", "curvature")
N_SCATTERS = 4
N_BESIDE = 2  # panels beside them: stability and number of clusters
MOST_CLUSTERS = 5
LOW, HIGH = style.BLUE, style.ORANGE
SILHOUETTE, GAP = style.BLACK, style.VERMILLION


def geometry(table: pd.DataFrame, view: View) -> Figure:
    """Draw entropy and curvature of every layer at every step.

    Parameters
    ----------
    table : table `geometry`.
    view : dataset to show.

    Returns
    -------
    One row of panels per model, entropy left and curvature right; layers (the embeddings lowest)
    against steps, which are equally far apart.
    """
    rows = table[(table["dataset"] == view.dataset) & table["step"].notna()]
    rows = rows[rows["first_choice"].astype(bool)]
    models = [name for name in select.by_size(rows) if several_steps(rows, name)]
    if not models:
        return style.empty(view, GEOMETRY_TITLE, "No model of this study has several checkpoints.")
    subtitle = f"means over {rows['n_sentences'].max():.0f} sentences or passages"
    figure = style.frame(view, GEOMETRY_TITLE, subtitle, (11.5, 2.3 * len(models) + 0.3))
    axes = style.grid(figure, 2 * len(models), 2)
    for number, model in enumerate(models):
        for axis, measure in zip(axes[2 * number : 2 * number + 2], MEASURES, strict=True):
            of_model = rows[(rows["model"] == model) & (rows["measure"] == measure)]
            wide = of_model.pivot(index="layer", columns="step", values="mean")
            values = wide.to_numpy(float)
            image = axis.imshow(values, aspect="auto", origin="lower", cmap="viridis", gid=measure)
            axis.grid(False)
            step_ticks(axis, wide.columns.to_numpy(float))
            axis.set_title(f"{model}: {measure}")
            axis.set_ylabel("layer")
            figure.colorbar(image, ax=axis, label=unit_label(rows, measure), pad=0.01)
    for axis in axes[-2:]:
        axis.set_xlabel("training step")
    return figure


def unit_label(rows: pd.DataFrame, measure: str) -> str:
    """Name a measure with the unit of its first choice."""
    return f"{measure} ({rows.loc[rows['measure'] == measure, 'unit'].iloc[0]})"


def modules(table: pd.DataFrame, members: pd.DataFrame, nulls: pd.DataFrame, view: View) -> Figure:
    """Draw the layers of each model in the plane of entropy and curvature, and their stability.

    Parameters
    ----------
    table : table `geometry`.
    members : table `modules`.
    nulls : table `module_nulls`.
    view : dataset to show.

    Returns
    -------
    One row of panels per model: layers, coloured by module, at up to four steps; the adjusted Rand
    index of each step's modules with those of the last step, beside what smooth profiles give; the
    number of clusters that the silhouette and the gap statistic choose at each step, and of the
    whole course of training.
    """
    rows = table[(table["dataset"] == view.dataset) & table["first_choice"].astype(bool)]
    members, nulls = (
        part[(part["dataset"] == view.dataset) & (part["choice"] == "first choice")]
        for part in (members, nulls)
    )
    models = select.by_size(members)
    if not models:
        return style.empty(view, MODULES_TITLE, "No model has four layers and four steps.")
    subtitle = "2-means of z-scored entropy and curvature at each step; numbers are layers"
    figure = style.frame(view, MODULES_TITLE, subtitle, (15, 2.6 * len(models) + 0.5))
    n_columns = N_SCATTERS + N_BESIDE
    axes = style.grid(figure, n_columns * len(models), n_columns)
    for number, model in enumerate(models):
        start = number * n_columns
        own = members[members["model"] == model]
        steps = np.unique(own["step"])
        chosen = steps[np.unique(np.linspace(0, len(steps) - 1, N_SCATTERS).round().astype(int))]
        for axis, step in zip(axes[start : start + N_SCATTERS], chosen, strict=True):
            _scatter(axis, rows[rows["model"] == model], own, float(step))
        axes[start].set_ylabel(f"{model}\n{unit_label(rows, 'curvature')}")
        facts = nulls[nulls["model"] == model]
        _stability(axes[start + N_SCATTERS], own, facts)
        _cluster_numbers(axes[start + N_SCATTERS + 1], own, facts)
    for axis in axes[-n_columns:-N_BESIDE]:
        axis.set_xlabel(unit_label(rows, "entropy"))
    for axis in axes[-N_BESIDE:]:
        axis.set_xlabel("training step")
    handles = [
        style.line("low-complexity module", LOW, "none", "o"),
        style.line("high-complexity module", HIGH, "none", "o"),
        style.line("settled: index of 0.8", style.GREY, ":"),
        style.line("clusters by silhouette", SILHOUETTE, marker="o"),
        style.line("clusters by gap statistic", GAP, "--", "s"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def _scatter(axis: "Axes", rows: pd.DataFrame, members: pd.DataFrame, step: float) -> None:
    here = rows[rows["step"] == step].pivot(index="layer", columns="measure", values="mean")
    low = members[members["step"] == step].set_index("layer")["low"].astype(bool)
    layers = here.loc[low.index]
    for layer, is_low, x, y in zip(
        low.index, low, layers["entropy"], layers["curvature"], strict=True
    ):
        axis.plot(x, y, "o", color=LOW if is_low else HIGH, markersize=5, gid="layer")
        axis.annotate(
            str(layer), (x, y), (3, 3), textcoords="offset points", size=7, color=style.GREY
        )
    axis.set_title(f"step {style.short_count(step)}")
    axis.margins(0.15)
    axis.ticklabel_format(useOffset=False)


def _stability(axis: "Axes", members: pd.DataFrame, facts: pd.DataFrame) -> None:
    by_step = members.groupby("step")["ari_final"].first()
    axis.plot(range(len(by_step)), by_step, "o-", color=style.BLACK, markersize=3.5, gid="ari")
    axis.axhline(0.8, color=style.GREY, linestyle=":")
    axis.set_ylim(-0.6, 1.08)
    smooth = facts[(facts["statistic"] == "ari_final") & (facts["null"] == "smooth")].iloc[0]
    settled = observed(facts, "stable_step")
    when = f"from step {style.short_count(settled)}" if np.isfinite(settled) else "at the end"
    axis.set_title("Rand index with last step\n\n")
    style.second_line(
        axis,
        f"settled {when} · mean {smooth['observed']:.2f}\n"
        f"smooth profiles {smooth['expected']:.2f}, p = {smooth['p']:.2g}",
    )
    step_ticks(axis, by_step.index.to_numpy(float), most=4)


def _cluster_numbers(axis: "Axes", members: pd.DataFrame, facts: pd.DataFrame) -> None:
    by_step = members.groupby("step")[["n_clusters_silhouette", "n_clusters_gap"]].first()
    places = range(len(by_step))
    chosen = {"silhouette": ("o-", SILHOUETTE), "gap": ("s--", GAP)}
    for name, (mark, colour) in chosen.items():
        axis.plot(
            places, by_step[f"n_clusters_{name}"], mark, color=colour, markersize=3.5, gid=name
        )
    axis.set_ylim(0.5, MOST_CLUSTERS + 0.5)
    axis.set_yticks(range(1, MOST_CLUSTERS + 1))
    course = " · ".join(f"{name} {observed(facts, f'n_clusters_{name}'):.0f}" for name in chosen)
    axis.set_title("number of clusters\n\n")
    style.second_line(axis, f"of the whole course:\n{course}")
    step_ticks(axis, by_step.index.to_numpy(float), most=4)


def observed(facts: pd.DataFrame, statistic: str) -> float:
    """Return a statistic of the whole course of training."""
    return float(facts.loc[facts["statistic"] == statistic, "observed"].iloc[0])


def several_steps(rows: pd.DataFrame, model: str) -> bool:
    return rows.loc[rows["model"] == model, "step"].nunique() > 1


def step_ticks(axis: "Axes", steps: np.ndarray, most: int = 6) -> None:
    """Name some of the steps on an axis on which they are equally far apart."""
    shown = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
    axis.set_xticks(shown, [style.short_count(float(step)) for step in steps[shown]])
