"""A volume on the inflated cortex of fsaverage5, whose meshes ship with nilearn."""

import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from lmcortex.figures.style import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from nibabel.nifti1 import Nifti1Image

MESH = "fsaverage5"
SIDES = ("left", "right")
VIEWS = (("left", "lateral"), ("left", "medial"), ("right", "medial"), ("right", "lateral"))
LEAST_SUPPORT = 0.25  # share of a vertex's neighbourhood that has values
WHITE = 0.995  # of a margin


def project(image: "Nifti1Image") -> dict[str, np.ndarray]:
    """Return what each vertex of the cortex has of a volume in MNI space.

    A vertex has the mean over ten depths from the pial surface to the white matter, each
    interpolated between the voxels around it (`nilearn.surface.vol_to_surf`). Voxels without a
    value (NaN) have no weight in it.

    Returns
    -------
    For each side (``left``, ``right``) an array of 10,242 vertices; NaN where less than a quarter
    of a vertex's neighbourhood has values.
    """
    from nibabel.nifti1 import Nifti1Image
    from nilearn.datasets import load_fsaverage
    from nilearn.surface import vol_to_surf

    data = np.pad(image.get_fdata(), 1, constant_values=np.nan)  # nothing beyond the edge
    affine = np.array(image.affine)
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    known = np.isfinite(data)
    both = Nifti1Image(np.stack([np.where(known, data, 0), known], axis=-1), affine)
    mesh = load_fsaverage(MESH)
    projected = {}
    for side in SIDES:
        with warnings.catch_warnings():
            # A vertex outside of the volume is the mean of nothing: NaN, as it should be.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            sampled: Any = vol_to_surf(
                both, mesh["pial"].parts[side], inner_mesh=mesh["white_matter"].parts[side]
            )
        total, support = sampled.T
        enough = support >= LEAST_SUPPORT
        projected[side] = np.where(enough, total / np.where(enough, support, 1), np.nan)
    return projected


def draw(axis: "Axes", projected: Mapping[str, np.ndarray], **shades: Any) -> None:
    """Draw left lateral and medial, right medial and lateral views side by side, as a picture.

    Parameters
    ----------
    axis : where to; it loses its frame.
    projected : of `project`.
    shades : ``cmap``, ``vmin``, ``vmax`` and, if small values shall not be drawn, ``threshold``.
    """
    axis.imshow(picture(projected, **shades))
    for place, side in zip((0, 1), SIDES, strict=True):
        axis.text(place, 0, side, transform=axis.transAxes, ha=side, va="top", size=8, color=GREY)
    axis.set_axis_off()


def picture(projected: Mapping[str, np.ndarray], **shades: Any) -> np.ndarray:
    """Return the four views as one picture, (height, width, 4), without white margins."""
    from nilearn.datasets import load_fsaverage, load_fsaverage_data
    from nilearn.plotting import plot_surf_stat_map

    mesh = load_fsaverage(MESH)["inflated"]
    folds = load_fsaverage_data(MESH, data_type="sulcal", mesh_type="inflated").data
    views = []
    for side, view in VIEWS:
        figure = Figure(figsize=(3, 3), dpi=150)
        with warnings.catch_warnings():
            # A hemisphere without values is drawn as it is.
            warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
            plot_surf_stat_map(
                mesh.parts[side],
                projected[side],
                bg_map=folds.parts[side],
                hemi=side,
                view=view,
                colorbar=False,
                engine="matplotlib",
                figure=figure,
                axes=figure.add_axes((0, 0, 1, 1), projection="3d"),
                **shades,
            )
        views.append(cropped(figure))
    height = max(len(view) for view in views)
    return np.concatenate([_centred(view, height) for view in views], axis=1)


def cropped(figure: Figure) -> np.ndarray:
    """Return a drawn figure as a picture, cut to what is not white."""
    from matplotlib.pyplot import imread

    file = io.BytesIO()
    figure.savefig(file)
    file.seek(0)
    pixels = imread(file)
    inked = (pixels[..., :3] < WHITE).any(axis=2)
    rows, columns = (np.flatnonzero(np.any(inked, axis=axis)) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centred(view: np.ndarray, height: int) -> np.ndarray:
    above = (height - len(view)) // 2
    margins = ((above, height - len(view) - above), (12, 12), (0, 0))
    return np.pad(view, margins, constant_values=1)


def interactive(projected: Mapping[str, np.ndarray], **shades: Any) -> str:
    """Return a page of nilearn on which both hemispheres can be turned; it needs nothing else.

    Parameters
    ----------
    shades : ``cmap``, ``vmin`` and ``vmax``.
    """
    from nilearn.datasets import load_fsaverage, load_fsaverage_data
    from nilearn.plotting import view_surf
    from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage

    mesh = load_fsaverage(MESH)["inflated"]
    # Inflated hemispheres overlap in the middle.
    apart = {
        side: InMemoryMesh(
            mesh.parts[side].coordinates - [away(mesh.parts[side].coordinates[:, 0]), 0, 0],
            mesh.parts[side].faces,
        )
        for side, away in zip(SIDES, (np.max, np.min), strict=True)
    }
    moved = PolyMesh(**apart)
    folds = load_fsaverage_data(MESH, data_type="sulcal", mesh_type="inflated").data.parts
    return view_surf(
        moved,
        SurfaceImage(moved, dict(projected)),
        bg_map=SurfaceImage(moved, folds),
        hemi="both",
        symmetric_cmap=False,
        colorbar_fontsize=16,
        **shades,
    ).html
