"""Voxel series from NIfTI images: the voxels of each ROI inside a brain mask."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lmcortex.errors import InputError
from lmcortex.homologues import MIDLINE

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Pair

WHOLE = "brain"  # the ROI of all voxels, where none is given


class Grid(NamedTuple):
    """A grid of voxels: the 4 x 4 matrix from voxel index to mm, and how many voxels a side has."""

    affine: np.ndarray
    shape: tuple[int, ...]


def grid_of(image: Any) -> Grid:
    """Return the grid of an image."""
    return Grid(np.asarray(image.affine), image.shape[:3])


def stated_grid(spec: Mapping[str, Any]) -> Grid:
    """Return the grid of cubes that a dataset file states.

    Parameters
    ----------
    spec : ``origin``, the centre of the first voxel, and ``spacing``, in mm; ``shape``.
    """
    affine = np.diag([*[float(spec["spacing"])] * 3, 1.0])
    affine[:3, 3] = spec["origin"]
    return Grid(affine, tuple(spec["shape"]))


def find_voxels(
    grid: Grid, mask: str, rois: Mapping[str, Mapping[str, Any]], atlas: str | None = None
) -> pd.DataFrame:
    """List the voxels of each ROI inside the mask.

    Parameters
    ----------
    grid : of the voxels; mask and atlas are resampled to it (nearest voxel).
    mask : 3-D image, the brain where it is not 0.
    rois : for each ROI either ``labels`` (values in the atlas, both sides) or ``spheres`` (centres
        in mm) with ``radius`` (mm). Without any, every voxel of the mask is a target of ROI
        `brain`.
    atlas : 3-D image of integer labels.

    Returns
    -------
    ``target`` (ROI and voxel index), ``roi``, ``hemisphere``, ``x, y, z`` (mm), ``i, j, k``. Left
    is x < 0 by the affine, whichever way the axis runs; x = 0 is the midline, a side of its own.
    A voxel in two ROIs is two targets.
    """
    brain = _labels_on(mask, grid) != 0
    labels = None if atlas is None else _labels_on(atlas, grid)
    index = np.argwhere(brain)
    place = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    tables = []
    for roi, definition in (rois or {WHOLE: {}}).items():
        if roi == WHOLE:
            inside = np.ones(len(index), bool)
        elif "labels" in definition:
            if labels is None:
                raise InputError(f"roi `{roi}` is given by atlas labels, but there is no atlas")
            inside = np.isin(labels[brain], definition["labels"])
        else:
            away = np.linalg.norm(place[:, None] - np.asarray(definition["spheres"]), axis=2)
            inside = (away <= definition["radius"]).any(axis=1)
        if not inside.any():
            raise InputError(f"{mask}: roi `{roi}` has no voxel inside the mask; check its place")
        table = pd.DataFrame(np.hstack([index, place])[inside], columns=list("ijkxyz"))
        tables.append(table.astype({"i": int, "j": int, "k": int}).assign(roi=roi))
    voxels = pd.concat(tables, ignore_index=True)
    sides = np.where(voxels["x"] < 0, "L", "R")
    voxels["hemisphere"] = np.where(voxels["x"].abs() < 1e-6, MIDLINE, sides)
    names = voxels[["roi", "i", "j", "k"]].astype(str)
    return voxels.assign(target=names.agg("-".join, axis=1))


def labels_at(path: str | Path, places: np.ndarray) -> np.ndarray:
    """Return the label of the voxel that each place (n, 3; mm) lies in; 0 outside the image."""
    image: Any = read_image(str(path), 3)
    to_index = np.linalg.inv(grid_of(image).affine)
    index = np.rint(places @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < image.shape)).all(axis=1)
    found = np.zeros(len(places), dtype=int)
    found[inside] = np.rint(np.asanyarray(image.dataobj)[tuple(index[inside].T)]).astype(int)
    return found


def values_at(path: str, places: np.ndarray) -> np.ndarray:
    """Return the values of the voxels that are centred at places (n, 3; mm).

    Raises
    ------
    InputError : a place that is not the centre of a voxel of the image.
    """
    image: Any = read_image(path, 3)
    to_index = np.linalg.inv(grid_of(image).affine)
    exact = places @ to_index[:3, :3].T + to_index[:3, 3]
    index = np.rint(exact).astype(int)
    off = (np.abs(exact - index) > 0.01) | (index < 0) | (index >= image.shape)
    if off.any():
        place = places[np.argmax(off.any(axis=1))]
        raise InputError(
            f"{path}: no voxel is centred at {place} mm; bring the image to the grid of the "
            "responses"
        )
    return image.get_fdata()[tuple(index.T)]


def fill_mask(mask: Any, values: np.ndarray) -> "Nifti1Pair":
    """Return an image of the voxels of a mask.

    Parameters
    ----------
    mask : 3-D image.
    values : (n_voxels,), or (n_volumes, n_voxels); voxels in the C order of the mask.

    Returns
    -------
    float32 image, 3-D or 4-D, NaN outside the mask.
    """
    brain = np.asanyarray(mask.dataobj) > 0
    volume = np.full((*brain.shape, *values.shape[:-1]), np.nan, np.float32)
    volume[brain] = values.T
    return image_on(grid_of(mask), volume)


def read_voxels(
    paths: Sequence[str],
    voxels: pd.DataFrame,
    grid: Grid,
    *,
    resample: bool = False,
    smoothing: float | None = None,
) -> list[np.ndarray]:
    """Read the voxels' series of each run: (n_samples, n_voxels) float64.

    Images on another grid are an error, or are brought to this one by cubic splines (`resample`);
    on the grid they are smoothed by a Gaussian of so many mm at half its height (`smoothing`).
    """
    return [_series(path, voxels, grid, resample, smoothing) for path in paths]


def _series(
    path: str, voxels: pd.DataFrame, grid: Grid, resample: bool, smoothing: float | None
) -> np.ndarray:
    image: Any = read_image(path, 4)
    if not is_on(image, grid):
        if not resample:
            raise InputError(
                f"{path}: its voxel grid differs from the first run's; resample one, or state a "
                "`grid` for all"
            )
        image = resample_to(image, grid, "continuous")
    if smoothing:
        from nilearn.image import smooth_img

        image = smooth_img(image, smoothing)
    data = image.get_fdata(dtype=np.float32, caching="unchanged")
    series = data[voxels["i"], voxels["j"], voxels["k"]].T.astype(np.float64)
    if not np.isfinite(series).all():
        sample, voxel = np.argwhere(~np.isfinite(series))[0]
        place = tuple(int(voxels[axis].iloc[voxel]) for axis in "ijk")
        raise InputError(
            f"{path}: volume {sample}, voxel {place}: expected a finite number, "
            f"found {series[sample, voxel]}"
        )
    return series


def resample_to(image: Any, grid: Grid, interpolation: str) -> Any:
    """Bring an image to a grid, by nilearn."""
    from nilearn.image import resample_img

    return resample_img(
        image,
        target_affine=grid.affine,
        target_shape=grid.shape,
        interpolation=interpolation,
        force_resample=True,
        copy_header=True,
    )


def image_on(grid: Grid, values: np.ndarray) -> "Nifti1Pair":
    """Return an image of the values on a grid."""
    from nibabel import nifti1

    return nifti1.Nifti1Image(values, grid.affine)


def read_image(path: str, dimensions: int) -> "Nifti1Pair":
    """Open a NIfTI image of so many dimensions."""
    from nibabel import nifti1
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nifti1.load(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ImageFileError as error:
        raise InputError(f"{path}: not a NIfTI image: {error}") from None
    if image.ndim != dimensions:
        raise InputError(f"{path}: expected {dimensions} dimensions, found shape {image.shape}")
    return image


def is_on(image: Any, grid: Grid) -> bool:
    """Tell whether an image has the voxels of a grid."""
    own = grid_of(image)
    return own.shape == grid.shape and np.allclose(own.affine, grid.affine, atol=1e-3)


def _labels_on(path: str, grid: Grid) -> np.ndarray:
    """Return the labels of a 3-D image on a grid."""
    image: Any = read_image(path, 3)
    if not is_on(image, grid):
        image = resample_to(image, grid, "nearest")
    return np.rint(np.asanyarray(image.dataobj)).astype(int)
