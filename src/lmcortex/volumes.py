"""Voxel series from NIfTI images: the voxels of each ROI inside a brain mask."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmcortex.errors import InputError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Pair

WHOLE = "brain"  # the ROI of all voxels, where none is given


def find_voxels(
    bold: str, mask: str, rois: Mapping[str, Mapping[str, Any]], atlas: str | None = None
) -> tuple[pd.DataFrame, int]:
    """List the voxels of each ROI inside the mask, on the grid of the BOLD image.

    Parameters
    ----------
    bold : 4-D image whose grid is used; mask and atlas are resampled to it (nearest voxel).
    mask : 3-D image, the brain where it is not 0.
    rois : for each ROI either ``labels`` (values in the atlas, both sides) or ``spheres`` (centres
        in mm) with ``radius`` (mm). Without any, every voxel of the mask is a target of ROI
        `brain`.
    atlas : 3-D image of integer labels.

    Returns
    -------
    voxels : ``target`` (ROI and voxel index), ``roi``, ``hemisphere``, ``x, y, z`` (mm), ``i, j,
        k``. Left is x < 0 by the affine, whichever way the axis runs. A voxel in two ROIs is two
        targets.
    n_midline : voxels left out because they lie on x = 0, on neither side.
    """
    grid = _load(bold, 4)
    brain = _labels_on(mask, grid) != 0
    labels = None if atlas is None else _labels_on(atlas, grid)
    index = np.argwhere(brain)
    affine = _affine(grid)
    place = index @ affine[:3, :3].T + affine[:3, 3]
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
    midline = voxels["x"].abs() < 1e-6
    voxels = voxels[~midline].reset_index(drop=True)
    voxels["hemisphere"] = np.where(voxels["x"] < 0, "L", "R")
    names = voxels[["roi", "i", "j", "k"]].astype(str)
    return voxels.assign(target=names.agg("-".join, axis=1)), int(midline.sum())


def read_voxels(paths: Sequence[str], voxels: pd.DataFrame) -> list[np.ndarray]:
    """Read the voxels' series of each run: (n_samples, n_voxels) float64."""
    affine = _affine(_load(paths[0], 4))
    return [_series(path, voxels, affine) for path in paths]


def _series(path: str, voxels: pd.DataFrame, affine: np.ndarray) -> np.ndarray:
    image = _load(path, 4)
    if not np.allclose(_affine(image), affine, atol=1e-3):
        raise InputError(f"{path}: its voxel grid differs from the first run's; resample one")
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


def _load(path: str, dimensions: int) -> "Nifti1Pair":
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


def _affine(image: "Nifti1Pair") -> np.ndarray:
    """Return the 4 x 4 matrix from voxel index to mm."""
    return np.asarray(image.affine)


def _labels_on(path: str, grid: "Nifti1Pair") -> np.ndarray:
    """Return the labels of a 3-D image on another image's grid."""
    image: Any = _load(path, 3)
    if image.shape != grid.shape[:3] or not np.allclose(_affine(image), _affine(grid), atol=1e-3):
        from nilearn.image import resample_img

        image = resample_img(
            image,
            target_affine=grid.affine,
            target_shape=grid.shape[:3],
            interpolation="nearest",
            force_resample=True,
            copy_header=True,
        )
    return np.rint(np.asanyarray(image.dataobj)).astype(int)
