"""Maps of voxels on a glass brain and on the inflated surface that nilearn ships with."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from lmcortex.figures import style
from lmcortex.figures.style import View

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
    """Draw maps of atoms on glass brains and on the left hemisphere.

    Parameters
    ----------
    found : with ``map`` and ``part`` (atom x target).
    places : (n_targets, 3) mm, MNI.
    best : (atom, sign, network, Dice) of each map to draw.
    """
    from nilearn import plotting
    from nilearn.datasets import load_fsaverage

    subtitle = "t over subjects (ridge) of the part that was labelled; atom, sign, network, Dice"
    figure = style.frame(view, f"{title} {view.model}", subtitle, (11.5, 2.3 * len(best)))
    grid = figure.subplots(len(best), 2, squeeze=False, width_ratios=[3, 1])
    surface = load_fsaverage("fsaverage5")
    for (glass, inflated), (atom, sign, network, dice) in zip(grid, best, strict=True):
        inside = found["part"].to_numpy()[atom] == (1 if sign == "active" else -1)
        values = np.where(inside, found["map"].to_numpy()[atom], 0)
        image = as_image(values, places)
        limit = float(np.abs(values).max()) or 1.0
        shades: Any = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "threshold": 1e-6}
        drawn: Any = plotting.plot_glass_brain(image, display_mode="lyrz", plot_abs=False, **shades)
        show(glass, drawn)
        glass.set_title(f"atom {atom}, {sign}: {network}, Dice {dice:.2f}")
        projected = on_left(image, surface["pial"].parts["left"].coordinates)
        on_surface: Any = plotting.plot_surf_stat_map(
            surface["inflated"].parts["left"],
            projected,
            hemi="left",
            view="lateral",
            engine="matplotlib",
            **shades,
        )
        show(inflated, on_surface)
    return figure


def on_left(image: "Nifti1Image", vertices: np.ndarray) -> np.ndarray:
    """Return the value of the voxel that each vertex (mm) lies in; 0 outside the image."""
    affine = np.asarray(image.affine)
    index = np.rint((vertices - affine[:3, 3]) / affine.diagonal()[:3]).astype(int)
    inside = ((index >= 0) & (index < image.shape)).all(axis=1)
    values = np.zeros(len(vertices))
    values[inside] = image.get_fdata()[tuple(index[inside].T)]
    return values


def show(axis: "Axes", drawn: Any) -> None:
    """Put what nilearn drew, in a figure of its own, into a panel as a picture."""
    import matplotlib.pyplot as plt

    panel = io.BytesIO()
    drawn.savefig(panel, dpi=110)
    panel.seek(0)
    axis.imshow(plt.imread(panel))
    axis.set_axis_off()
    plt.close("all")


def as_image(values: np.ndarray, places: np.ndarray) -> "Nifti1Image":
    """Return values at places (mm) as an image on the smallest regular grid that holds them."""
    from nibabel.nifti1 import Nifti1Image

    steps = np.array([spacing(places[:, axis]) for axis in range(3)])
    origin = places.min(axis=0) - steps
    index = np.rint((places - origin) / steps).astype(int)
    data = np.zeros(index.max(axis=0) + 2, np.float32)
    data[tuple(index.T)] = values
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = origin
    return Nifti1Image(data, affine)


def spacing(values: np.ndarray) -> float:
    """Return the distance between neighbouring planes of voxels."""
    apart = np.diff(np.unique(np.round(values, 3)))
    return float(apart.min()) if len(apart) else 1.0
