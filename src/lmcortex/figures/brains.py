"""Maps of voxels on a glass brain and on the inflated surface that nilearn ships with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lmcortex.figures import style, surface
from lmcortex.figures.style import View
from lmcortex.maps import as_image

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from nibabel.nifti1 import Nifti1Image

TINY = 1e-9  # what is smaller is not drawn: nilearn's own threshold hides the lower values
DIVERGING = "RdBu_r"


class Shown(NamedTuple):
    """The part of an atom's map of one sign, and the network that it overlaps most."""

    atom: int
    sign: str
    network: str
    dice: float
    associated: bool


def brains(
    found: "xr.Dataset", places: np.ndarray, shown: Sequence[Shown], view: View, title: str
) -> Figure:
    """Draw maps of atoms on glass brains and on the cortex.

    Parameters
    ----------
    found : with ``map`` and ``part`` (atom x target).
    places : (n_targets, 3) mm, MNI.
    shown : the maps to draw.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    subtitle = "t over subjects (ridge) of the labelled part, and its overlap with a network"
    figure = style.frame(view, f"{title} {view.model}", subtitle, (13, 1.9 * len(shown)))
    grid = figure.subplots(len(shown), 2, squeeze=False)
    maps, parts = found["map"].to_numpy(), found["part"].to_numpy()
    signs = {"active": 1, "deactive": -1}
    for (glass, inflated), each in zip(grid, shown, strict=True):
        values = np.where(parts[each.atom] == signs[each.sign], maps[each.atom], np.nan)
        limit = float(np.abs(np.nan_to_num(values)).max()) or 1.0
        image = as_image(values, places)
        shades: Any = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "threshold": 1e-6}
        draw_glass(glass, image, **shades)
        beyond = "" if each.associated else ", not beyond chance"
        glass.set_title(
            f"atom {each.atom}, {each.sign}: {each.network}, Dice {each.dice:.2f}{beyond}"
        )
        surface.draw(inflated, surface.project(image), **shades)
        scale = ScalarMappable(Normalize(-limit, limit), DIVERGING)
        figure.colorbar(scale, ax=inflated, label="t", shrink=0.8, pad=0.01)
    return figure


def draw_glass(axis: "Axes", image: "Nifti1Image", **shades: Any) -> None:
    """Draw a volume on glass brains seen from left, behind, right and above, as a picture.

    Parameters
    ----------
    axis : where to; it loses its frame.
    shades : ``cmap``, ``vmin``, ``vmax`` and, if more than zeros shall not be drawn, ``threshold``.
    """
    from nibabel.nifti1 import Nifti1Image
    from nilearn.plotting import plot_glass_brain

    known = Nifti1Image(np.nan_to_num(image.get_fdata()), image.affine)
    figure = Figure(figsize=(9, 2.6), dpi=150)
    plot_glass_brain(
        known,
        display_mode="lyrz",
        plot_abs=False,
        colorbar=False,
        figure=figure,
        **{"threshold": TINY, **shades},
    )
    axis.imshow(surface.cropped(figure))
    axis.set_axis_off()
