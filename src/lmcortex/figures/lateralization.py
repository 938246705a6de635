"""Left against right: the difference of scores between the hemispheres."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmcortex.figures import overview, select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Left against right"
PEOPLE = "#9A9A9A"
VALUES = ["left", "right", "difference", "ci_low", "ci_high"]


def lateralization(scores: pd.DataFrame, differences: pd.DataFrame, view: View) -> Figure:
    """Draw left and right scores, their difference, and the difference against size.

    Parameters
    ----------
    scores : master table; gives the dots of single subjects.
    differences : table `lateralization`.
    view : dataset, fit and subject to show.

    Returns
    -------
    One column per ROI that has both sides. Rows: nested r left and right of each model; left minus
    right with its 95% interval, single subjects as grey dots; the same against parameters when
    three or more trained or planted models have a size.
    """
    rows = select.final(select.nested(select.headline(scores, view)))
    pairs = _final_pairs(differences, rows)
    if pairs.empty:
        return style.empty(view, TITLE, "No ROI of this dataset was measured on both sides.")
    rois = list(dict.fromkeys(pairs["roi"]))
    lines = select.lines(rows)
    position = {model: y for y, (_, model) in enumerate(lines)}
    sized = pairs[pairs["role"].isin(["trained", "planted"]) & pairs["n_params"].notna()]
    kinds = 3 if sized["model"].nunique() >= 3 else 2
    tall = 0.23 * len(lines) + 0.55
    heights = [tall, tall, 2.2][:kinds]
    subtitle = f"nested cross-validated r · {select.interval_text(scores, view)} · fit {view.fit}"
    figure = style.frame(view, TITLE, subtitle, (12, sum(heights) + 0.5))
    grid = figure.subplots(
        kinds,
        len(rois),
        squeeze=False,
        sharex="row",
        sharey="row",
        gridspec_kw={"height_ratios": heights},
    )
    people = _people(scores, view)
    for column, roi in enumerate(rois):
        here = pairs[pairs["roi"] == roi]
        _sides(grid[0, column], here, position)
        _differences(grid[1, column], here, people[people["roi"] == roi], position)
        if kinds == 3:
            _against_size(grid[2, column], sized[sized["roi"] == roi])
        grid[0, column].set_title(style.panel_title(roi, "both"))
        grid[0, column].set_xlabel("nested score, r")
        grid[1, column].set_xlabel("left - right, r")
        for axis in grid[:2, column]:
            overview.separate_roles(axis, lines)
    for axis in grid[:2, 0]:
        axis.set_yticks(range(len(lines)), [style.display_name(model) for _, model in lines])
        axis.set_ylim(len(lines) - 0.4, -0.6)
    if kinds == 3:
        grid[2, 0].set_ylabel("left - right, r")
    figure.legend(handles=_legend(rows, not people.empty), loc="outside lower center", ncols=6)
    return figure


def _final_pairs(differences: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of the cells in `rows`, averaged over seeds, with role and size."""
    key = ["dataset", "fit", "model", "checkpoint", "subject", "roi"]
    about = rows.drop_duplicates(key)[[*key, "role", "n_params"]]
    kept = differences[[*key, *VALUES]]
    pairs = about.merge(kept[select.finite(kept["difference"])], on=key)
    groups = pairs.groupby(["roi", "role", "model"], sort=False, as_index=False)
    return groups[["n_params", *VALUES]].mean()


def _people(scores: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return each single subject's difference; columns roi, role, model, subject, difference."""
    rows = select.final(select.nested(select.cells(scores, view)))
    people = rows[~rows["subject"].isin(["group", "average"])]
    if select.subject_of(select.cells(scores, view), view) != "group":
        people = people.iloc[:0]
    wide = people.pivot_table(
        index=["roi", "role", "model", "subject"], columns="hemisphere", values="r"
    ).reindex(columns=["L", "R"])
    return (wide["L"] - wide["R"]).rename("difference").dropna().reset_index()


def _y(rows: pd.DataFrame, position: dict[str, int]) -> np.ndarray:
    """Return the height of each row; an untrained twin stands a little below its model."""
    shift = np.where(rows["role"] == "untrained", 0.2, 0.0)
    return rows["model"].map(position).to_numpy(float) + shift


def _sides(axis: "Axes", rows: pd.DataFrame, position: dict[str, int]) -> None:
    y = _y(rows, position)
    axis.hlines(y, rows["left"], rows["right"], color="#BBBBBB", linewidth=1.4)
    for side, name in (("L", "left"), ("R", "right")):
        colour = style.SIDE_COLOURS[side]
        for role, marks in overview.MARKS.items():
            here = (rows["role"] == role).to_numpy()
            axis.plot(
                rows[name][here],
                y[here],
                linestyle="none",
                color=colour,
                gid=name,
                **{**marks, "markersize": 5},
            )


def _differences(
    axis: "Axes", rows: pd.DataFrame, people: pd.DataFrame, position: dict[str, int]
) -> None:
    trained = people[people["role"] != "untrained"]
    above = _y(trained, position) - 0.24
    axis.plot(
        trained["difference"], above, "o", color=PEOPLE, markersize=2.6, alpha=0.8, gid="subjects"
    )
    axis.axvline(0, color="#777777", linewidth=0.9)
    y = _y(rows, position)
    axis.hlines(y, rows["ci_low"], rows["ci_high"], color=style.BLACK, linewidth=1.3)
    for role, marks in overview.MARKS.items():
        here = (rows["role"] == role).to_numpy()
        axis.plot(
            rows["difference"][here],
            y[here],
            linestyle="none",
            color=style.BLACK,
            gid="differences",
            **{**marks, "markersize": 5},
        )


def _against_size(axis: "Axes", rows: pd.DataFrame) -> None:
    axis.axhline(0, color="#777777", linewidth=0.9)
    axis.set_xscale("log")
    axis.vlines(rows["n_params"], rows["ci_low"], rows["ci_high"], color=style.BLACK, linewidth=1.1)
    for role in ("trained", "planted"):
        here = rows[rows["role"] == role]
        axis.plot(
            here["n_params"],
            here["difference"],
            linestyle="none",
            color=style.BLACK,
            **{**overview.MARKS[role], "markersize": 5},
        )
    style.size_ticks(axis, rows["n_params"])
    axis.set_xlabel("parameters")


def _legend(rows: pd.DataFrame, people: bool) -> list[Line2D]:
    handles = [
        style.line(style.SIDE_NAMES[side], colour, "none", marker="o")
        for side, colour in style.SIDE_COLOURS.items()
    ]
    handles.append(style.line("left - right", style.BLACK, "-", marker="o"))
    if (rows["role"] == "untrained").any():
        handles.append(style.line("untrained twin", style.BLACK, "none", marker="o", hollow=True))
    if (rows["role"] == "baseline").any():
        handles.append(style.line("baseline", style.BLACK, "none", marker="s"))
    if people:
        handles.append(style.line("single subjects", PEOPLE, "none", marker="."))
    return handles
