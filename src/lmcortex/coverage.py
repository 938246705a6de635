"""The voxels that a group of people has in common: where their images hold a brain, or a signal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lmcortex.errors import InputError
from lmcortex.volumes import (
    Grid,
    grid_of,
    image_on,
    is_on,
    read_image,
    resample_to,
    stated_grid,
)


def cover_runs(paths: Sequence[str], spec: Mapping[str, Any]) -> Any:
    """Say for each run of a subject which voxels hold something.

    Parameters
    ----------
    paths : one 4-D image per run.
    spec : ``by``, either `intensity`, the brain by the histogram of the mean image (nilearn's
        `compute_epi_mask`), or `variance`, all voxels whose series varies; and ``grid``, if images
        are to be resampled (see `volumes.stated_grid`).

    Returns
    -------
    4-D NIfTI image of 0 and 1, one volume per run.
    """
    stated = spec.get("grid")
    grid = stated_grid(stated) if stated else grid_of(read_image(paths[0], 4))
    runs = [cover_run(read_image(path, 4), spec["by"], grid) for path in paths]
    return image_on(grid, np.stack(runs, axis=-1).astype(np.uint8))


def cover_run(image: Any, by: str, grid: Grid) -> np.ndarray:
    data = image.get_fdata(dtype=np.float32, caching="unchanged")
    own = grid_of(image)
    if by == "variance":
        varies = image_on(own, (np.ptp(data, axis=3) > 0).astype(np.uint8))
        return values_on(varies, grid, "nearest") > 0
    from nilearn.masking import compute_epi_mask

    # The mean of resampled images is the resampled mean.
    mean = values_on(image_on(own, data.mean(axis=3)), grid, "continuous")
    brain: Any = compute_epi_mask(image_on(grid, mean))
    return np.asanyarray(brain.dataobj) > 0


def values_on(image: Any, grid: Grid, interpolation: str) -> np.ndarray:
    """Return an image's values on a grid."""
    brought = image if is_on(image, grid) else resample_to(image, grid, interpolation)
    return np.asanyarray(brought.dataobj)


def common_mask(subjects: Sequence[str], spec: Mapping[str, Any], mask: str | None = None) -> Any:
    """Intersect what runs cover.

    Parameters
    ----------
    subjects : of each, what `cover_runs` returned, as a file.
    spec : ``by``; ``share`` of all runs that a voxel must be covered in; ``mirrored``, whether its
        mirror image must be covered too, so that both hemispheres have the same voxels.
    mask : 3-D image of the voxels that are considered at all.

    Returns
    -------
    3-D NIfTI image of 0 and 1. By intensity it is the largest connected part, as in nilearn.
    """
    from nilearn.masking import intersect_masks

    images = [read_image(path, 4) for path in subjects]
    grid = grid_of(images[0])
    volumes = [
        image_on(grid, volume)
        for image in images
        for volume in np.moveaxis(np.asanyarray(image.dataobj), 3, 0)
    ]
    connected = spec["by"] == "intensity"
    common: Any = intersect_masks(volumes, threshold=spec["share"], connected=connected)
    if spec["mirrored"]:
        both = [common, image_on(grid, mirrored(np.asanyarray(common.dataobj), grid))]
        common: Any = intersect_masks(both, threshold=1, connected=connected)
    kept = np.asanyarray(common.dataobj) > 0
    if mask is not None:
        kept &= values_on(read_image(mask, 3), grid, "nearest") > 0
    if not kept.any():
        raise InputError("no voxel is covered by enough runs; lower `share` of `coverage`")
    return image_on(grid, kept.astype(np.uint8))


def mirrored(volume: np.ndarray, grid: Grid) -> np.ndarray:
    """Swap left and right; the grid must have its middle, or the face of two voxels, on x = 0."""
    first, step, n = grid.affine[0, 3], grid.affine[0, 0], grid.shape[0]
    if not np.isclose(2 * first + (n - 1) * step, 0, atol=1e-3):
        raise InputError(
            f"`mirrored` needs a grid that is symmetric about x = 0; this one runs from {first:g} "
            f"to {first + (n - 1) * step:g} mm"
        )
    return volume[::-1]
