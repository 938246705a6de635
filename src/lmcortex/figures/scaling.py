"""Does size help: nested scores against the number of parameters."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lmcortex.figures import select, style
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Do larger models predict the brain better?"


def scaling(scores: pd.DataFrame, laws: pd.DataFrame, view: View) -> Figure:
    """Draw nested scores of final checkpoints against size, with the fitted law.

    Parameters
    ----------
    scores : master table.
    laws : table `scaling`; its rows with outcome `r` and predictor `log10_params` give the lines.
    view : dataset, fit and subject to show.

    Returns
    -------
    One panel per ROI: families by colour and marker, untrained twins hollow, the law with its
    slope and 95% interval, the best baseline dotted.
    """
    rows = select.final(select.nested(select.headline(scores, view)))
    sized = rows[rows["n_params"].notna() & (rows["role"] != "baseline")]
    if sized["model"].nunique() < 2:
        return style.empty(view, TITLE, "Fewer than two models of known size in this study.")
    shown = select.panels(sized)
    families = sorted(sized["family"].unique())
    palette = style.colours(families)
    laws = select.laws(laws, scores, view)
    columns = style.column_count(len(shown))
    subtitle = (
        f"nested cross-validated r · {select.interval_text(scores, view)} · fit {view.fit}\n"
        "small print: slope of the line = change of r per tenfold parameters [95% CI], n models"
    )
    size = (11.5, -(-len(shown) // columns) * 2.6 + 0.6)
    figure = style.frame(view, TITLE, subtitle, size)
    axes = style.grid(figure, len(shown), columns, sharex=True, sharey=True)
    for axis, (roi, side) in zip(axes, shown, strict=True):
        here = select.panel(sized, roi, side)
        for (family, role), points in here.groupby(["family", "role"]):
            marker = style.MARKERS[families.index(family) % len(style.MARKERS)]
            _points(axis, points, palette[str(family)], marker, role == "untrained")
        _law(axis, select.panel(laws, roi, side), here)
        style.mark_best_baseline(axis, select.panel(rows, roi, side))
    axes[0].set_xscale("log")
    for axis in axes:
        style.size_ticks(axis, sized["n_params"])
    notes = style.mark_ceilings(axes, select.ceilings(rows, shown))
    slopes = [_slope_text(select.panel(laws, *at)) for at in shown]
    style.title_panels(axes, shown, slopes, notes)
    for axis in axes[-columns:]:
        axis.set_xlabel("parameters")
    for axis in axes[::columns]:
        axis.set_ylabel("nested score, r")
    handles = _legend(rows, families, palette, not laws.empty, not any(notes))
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def _points(axis: "Axes", rows: pd.DataFrame, colour: Any, marker: str, hollow: bool) -> None:
    means = select.mean_over_seeds(rows)
    sizes = rows.groupby("model", sort=False)["n_params"].first()
    spread = np.stack([means["r"] - means["ci_low"], means["ci_high"] - means["r"]])
    axis.errorbar(
        sizes,
        means["r"],
        yerr=np.clip(spread, 0, None),
        fmt="none",
        ecolor=colour,
        elinewidth=0.8 if hollow else 1.2,
        alpha=0.6 if hollow else 1,
    )
    axis.plot(
        sizes,
        means["r"],
        marker,
        color=colour,
        markersize=4.5 if hollow else 6,
        markerfacecolor="white" if hollow else colour,
        gid="sizes",
    )


def _law(axis: "Axes", laws: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Draw each role's line over the sizes it was fitted to; that of untrained twins dashed."""
    for law in laws.to_dict("records"):
        sizes = rows.loc[rows["role"] == law["role"], "n_params"].astype(float)
        x = np.log10([sizes.min(), sizes.max()])
        dash = "--" if law["role"] == "untrained" else "-"
        y = law["intercept"] + law["slope"] * x
        axis.plot(10**x, y, color="#444444", linewidth=1.3, linestyle=dash, gid="law")


def _slope_text(laws: pd.DataFrame) -> str:
    return "\n".join(
        f"{law['role']} {law['slope']:+.3f} [{law['ci_low']:+.3f}, {law['ci_high']:+.3f}], "
        f"n = {law['n_models']}"
        for law in sorted(laws.to_dict("records"), key=lambda law: select.ROLES.index(law["role"]))
    )


def _legend(
    rows: pd.DataFrame,
    families: list[str],
    palette: dict[str, Any],
    law: bool,
    ceiling: bool,
) -> list[Line2D]:
    handles = [
        style.line(family, palette[family], "none", marker=style.MARKERS[i % len(style.MARKERS)])
        for i, family in enumerate(families)
    ]
    if (rows["role"] == "untrained").any():
        handles.append(style.line("untrained twin", "#444444", "none", marker="o", hollow=True))
    if law:
        handles.append(style.line("least-squares law", "#444444"))
    return [*handles, *style.reference_lines(rows, ceiling)]
