"""Maps of voxels: nested scores, what they add to a baseline, left against right, and slopes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lmcortex import maps
from lmcortex.figures import brains, style, surface
from lmcortex.figures.style import View

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SIZE = (14, 1.75)  # inches of a row
SHARE = 99.9  # percentile of the values at the end of the colours
LEVEL = 0.05  # of the false discovery rate
WHOSE = {"group": "mean of the subjects' scores", "average": "mean response over subjects"}


class Row(NamedTuple):
    """One map: how it is called, its values, and whether 0 is the middle of its colours."""

    title: str
    image: "Nifti1Image"
    signed: bool


def score_maps(
    scores: "Nifti1Image", sides: "Nifti1Image", added: "Nifti1Image | None", view: View
) -> Figure:
    """Draw one model's nested scores on glass brains and on the cortex.

    Parameters
    ----------
    scores, sides : maps of its nested scores, and of left minus right.
    added : map of nested scores minus those of the random embedding; none: that row is left out.

    Returns
    -------
    Rows: nested r; nested r minus that of the random embedding; left minus right, where voxels have
    mirror images.
    """
    rows = [Row("nested r", scores, False)]
    if added is not None:
        rows.append(Row("nested r - random embedding (mean over seeds)", added, True))
    n_pairs = len(maps.voxels(sides)[0])
    if n_pairs:
        rows.append(Row(f"left - right, at the left of {n_pairs:,} pairs of voxels", sides, True))
    subtitle = f"cross-validated r of {len(maps.voxels(scores)[0]):,} voxels · {whose(view)}"
    return draw(rows, view, f"Maps of {style.display_name(view.model)}", subtitle)


def slope_maps(table: pd.DataFrame, view: View) -> Figure:
    """Draw the slope of each voxel's score on log10 parameters: all, and those with q < .05.

    Parameters
    ----------
    table : table `voxel_slopes`.
    """
    wanted = {"dataset": view.dataset, "fit": view.fit, "subject": view.subject}
    found = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    places, slopes = found[maps.AXES].to_numpy(), found["slope"].to_numpy()
    sure = (found["q"] < LEVEL).to_numpy()
    rows = [Row("all voxels", maps.as_image(slopes, places), True)]
    if sure.any():
        image = maps.as_image(np.where(sure, slopes, np.nan), places)
        title = f"q < .05 (false discovery rate): {sure.sum():,} of {len(sure):,} voxels"
        rows.append(Row(title, image, True))
    n_models = found["n_models"].iloc[0]
    least = "" if sure.any() else f" · no voxel has q < .05, the least is {found['q'].min():.2g}"
    subtitle = f"r per factor 10 of parameters, {n_models} models · {whose(view)}{least}"
    return draw(rows, view, "Slope of score on model size", subtitle)


def whose(view: View) -> str:
    return f"{WHOSE.get(view.subject or '', f'subject {view.subject}')} · fit {view.fit}"


def draw(rows: Sequence[Row], view: View, title: str, subtitle: str) -> Figure:
    """Draw maps one below the other: glass brains left, the cortex right."""
    figure = style.frame(view, title, subtitle, (SIZE[0], SIZE[1] * len(rows)))
    grid = figure.subplots(len(rows), 2, squeeze=False, width_ratios=[1, 1.05])
    for (glass, cortex), row in zip(grid, rows, strict=True):
        shown = shades(row)
        brains.draw_glass(glass, row.image, **shown)
        glass.set_title(row.title)
        surface.draw(cortex, surface.project(row.image), **shown)
        scale = ScalarMappable(Normalize(shown["vmin"], shown["vmax"]), colormaps[shown["cmap"]])
        bar = figure.colorbar(scale, ax=cortex, shrink=0.8, aspect=12, pad=0.02)
        bar.ax.grid(False)
    return figure


def shades(row: Row) -> dict[str, Any]:
    """Return the colours of a map; they end where 99.9 % of its values do."""
    values, _ = maps.voxels(row.image)
    if row.signed:
        limit = float(np.percentile(np.abs(values), SHARE)) or 1.0
        return {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    return {"cmap": "magma_r", "vmin": 0.0, "vmax": float(np.percentile(values, SHARE)) or 1.0}
