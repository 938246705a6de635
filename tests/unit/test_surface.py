"""Voxels stand in an image, and an image on the cortex, where they are in the brain."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from nibabel.nifti1 import Nifti1Image
from nilearn.datasets import load_fsaverage
from nilearn.image import swap_img_hemispheres

from lmcortex.errors import InputError
from lmcortex.figures import brains, surface
from lmcortex.maps import as_image

SHADES = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, "threshold": 1e-6}


def brain() -> np.ndarray:
    """Return places of 4 mm voxels in a box around the brain, none of them on the midline."""
    axes = [np.arange(low, high, 4.0) for low, high in ((-74, 75), (-110, 83), (-70, 87))]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.fixture(scope="module")
def left_only() -> Nifti1Image:
    """A ball of signal in the left temporal lobe, zero elsewhere."""
    places = brain()
    inside = np.linalg.norm(places - (-54, -18, 6), axis=1) < 20
    return as_image(inside.astype(float), places)


def test_voxels_stand_in_the_image_where_they_are() -> None:
    places = np.array([[-6.0, 0, 3], [6, 3, 0], [0, 6, 9], [3, 9, 6]])
    image = as_image(np.array([1.0, 2, 3, 4]), places)
    for value, place in zip((1, 2, 3, 4), places, strict=True):
        index = np.linalg.inv(image.affine) @ [*place, 1]
        assert image.get_fdata()[tuple(np.rint(index[:3]).astype(int))] == value
    assert np.isfinite(image.get_fdata()).sum() == 4


def test_places_of_no_grid_are_refused() -> None:
    tilt = np.array([[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]])
    tilted = 4.0 * np.argwhere(np.ones((5, 5, 2))) @ tilt.T
    with pytest.raises(InputError, match="no grid along the axes"):
        as_image(np.ones(len(tilted)), tilted)
    with pytest.raises(InputError, match="without x, y, z"):
        as_image(np.ones(1), np.full((1, 3), np.nan))


def test_a_signal_on_the_left_is_on_the_left_hemisphere_alone(left_only: Nifti1Image) -> None:
    projected = surface.project(left_only)
    assert np.nanmax(projected["left"]) > 0.9
    assert np.nanmax(np.abs(projected["right"])) == 0


def test_a_flipped_volume_is_on_the_right_hemisphere_alone(left_only: Nifti1Image) -> None:
    projected = surface.project(swap_img_hemispheres(left_only))
    assert np.nanmax(np.abs(projected["left"])) == 0
    assert np.nanmax(projected["right"]) > 0.9


@pytest.mark.parametrize("direction", [1, -1])
def test_a_vertex_has_the_mean_between_white_matter_and_pial_surface(direction: int) -> None:
    # Interpolation is exact for a plane, whose mean over depths is its value halfway.
    slope = np.array([1.0, -2.0, 0.5])
    image = as_image(brain() @ slope, brain())
    if direction < 0:  # the same volume, stored from right to left
        affine = image.affine @ np.diag([-1.0, 1, 1, 1])
        affine[0, 3] = image.affine[0, 3] + image.affine[0, 0] * (image.shape[0] - 1)
        image = Nifti1Image(image.get_fdata()[::-1], affine)
    mesh = load_fsaverage("fsaverage5")
    for side, found in surface.project(image).items():
        ends = [mesh[name].parts[side].coordinates for name in ("pial", "white_matter")]
        assert np.isfinite(found).all()
        assert np.allclose(found, np.mean(ends, axis=0) @ slope, atol=1e-3)


def test_voxels_without_a_value_have_no_weight_on_the_surface() -> None:
    places = brain()
    kept = np.random.default_rng(0).random(len(places)) < 0.7
    for found in surface.project(as_image(np.full(kept.sum(), 3.0), places[kept])).values():
        assert np.allclose(found[np.isfinite(found)], 3)


def test_the_picture_shows_left_views_left_and_right_views_right(left_only: Nifti1Image) -> None:
    shown = surface.picture(surface.project(left_only), **SHADES)
    red = (shown[..., 0] - shown[..., 2] > 0.3).any(axis=0)
    assert red[: len(red) // 4].any()  # lateral
    assert not red[len(red) // 2 :].any()


def test_the_glass_brain_has_the_left_view_first(left_only: Nifti1Image) -> None:
    axis = Figure().add_subplot()
    brains.draw_glass(axis, left_only, **SHADES)
    shown = np.asarray(axis.images[0].get_array())
    red = (shown[..., 0] - shown[..., 2] > 0.2).any(axis=0)
    assert red[: len(red) // 4].any()
    assert not red[int(0.52 * len(red)) : int(0.75 * len(red))].any()
