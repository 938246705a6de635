"""Maps of voxels on a glass brain and on the inflated surface that nilearn ships with."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from lmcortex.figures import style, surface
from lmcortex.figures.style import View
from lmcortex.maps import as_image

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from nibabel.nifti1 import Nifti1Image


def brains(
    found: "xr.Dataset",
    places: np.ndarray,
    best: "list[tuple[int, str, str, float]]",
    view: View,
    title: str,
) -> Figure:
    """Draw maps of atoms on glass brains and on the cortex.

    Parameters
    ----------
    found : with ``map`` and ``part`` (atom x target).
    places : (n_targets, 3) mm, MNI.
    best : (atom, sign, network, Dice) of each map to draw.
    """
    subtitle = "t over subjects (ridge) of the part that was labelled; atom, sign, network, Dice"
    figure = style.frame(view, f"{title} {view.model}", subtitle, (13, 1.9 * len(best)))
    grid = figure.subplots(len(best), 2, squeeze=False)
    for (glass, inflated), (atom, sign, network, dice) in zip(grid, best, strict=True):
        inside = found["part"].to_numpy()[atom] == (1 if sign == "active" else -1)
        values = np.where(inside, found["map"].to_numpy()[atom], 0)
        image = as_image(values, places)
        limit = float(np.abs(values).max()) or 1.0
        shades: Any = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "threshold": 1e-6}
        draw_glass(glass, image, **shades)
        glass.set_title(f"atom {atom}, {sign}: {network}, Dice {dice:.2f}")
        surface.draw(inflated, surface.project(image), **shades)
    return figure


def draw_glass(axis: "Axes", image: "Nifti1Image", **shades: Any) -> None:
    """Draw a volume on glass brains seen from left, behind, right and above, as a picture.

    Parameters
    ----------
    axis : where to; it loses its frame.
    shades : ``cmap``, ``vmin``, ``vmax`` and, if small values shall not be drawn, ``threshold``.
    """
    from nibabel.nifti1 import Nifti1Image
    from nilearn.plotting import plot_glass_brain

    known = Nifti1Image(np.nan_to_num(image.get_fdata()), image.affine)
    figure = Figure(figsize=(9, 2.6), dpi=150)
    plot_glass_brain(
        known, display_mode="lyrz", plot_abs=False, colorbar=False, figure=figure, **shades
    )
    axis.imshow(surface.cropped(figure))
    axis.set_axis_off()
