"""Maps of voxels: values at places in the brain as NIfTI images."""

import numpy as np
from nibabel.nifti1 import Nifti1Image

from lmcortex.errors import InputError

TOLERANCE = 0.01  # of a voxel's edge, by which a place may miss the grid
MOST_PLANES = 1000  # of a brain along an axis: 0.2 mm


def as_image(values: np.ndarray, places: np.ndarray) -> Nifti1Image:
    """Return values at places as an image on the regular grid that the places lie on.

    Parameters
    ----------
    values : (n,), one for each place; two of the same place (a voxel of two ROIs) are the same.
    places : (n, 3) centres of voxels, mm.

    Returns
    -------
    float32 image, NaN where there is no place, with a margin of one voxel on every side. The axes
    run to the right, to the front and upwards.

    Raises
    ------
    InputError : places that are not known, or not those of a grid along the axes.
    """
    if not np.isfinite(places).all():
        raise InputError(
            "a target without x, y, z has no place in a map; give the places of all targets, or "
            "leave `voxelwise` out of the dataset file"
        )
    axes = [_grid_axis(places[:, axis], name) for axis, name in enumerate("xyz")]
    origin, steps, index = (np.array(part) for part in zip(*axes, strict=True))
    data = np.full(index.max(axis=1) + 2, np.nan, np.float32)
    data[tuple(index)] = values
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = origin
    image = Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, "mni")
    image.set_qform(affine, "mni")
    return image


def _grid_axis(centres: np.ndarray, name: str) -> tuple[float, float, np.ndarray]:
    """Return where a grid starts along one axis, its step, and the index of each centre."""
    planes = np.unique(np.round(centres, 3))
    step = float(np.diff(planes).min()) if len(planes) > 1 else 1.0
    # Places come from affines in single precision: the whole width tells the step best.
    step = (planes[-1] - planes[0]) / max(1, round((planes[-1] - planes[0]) / step)) or step
    origin = float(planes[0] - step)
    index = np.rint((centres - origin) / step).astype(int)
    away = np.abs(origin + index * step - centres)
    if away.max() > TOLERANCE * step or index.max() > MOST_PLANES:
        raise InputError(
            f"targets lie on no grid along the axes: {name} = {centres[away.argmax()]:g} mm is off "
            f"planes of {step:g} mm; resample the images to a grid along the axes"
        )
    return origin, step, index
