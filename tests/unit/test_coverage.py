"""The mask of a group is what enough of its runs cover."""

import nibabel as nib
import numpy as np
import pytest

from lmcortex import responses, stimuli
from lmcortex.coverage import common_mask, cover_runs
from lmcortex.errors import InputError

AFFINE = np.array([[4.0, 0, 0, -38], [0, 4, 0, -40], [0, 0, 4, -40], [0, 0, 0, 1]])
SHAPE = (20, 20, 20)


def ball(centre, radius=22):
    place = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) @ AFFINE[:3, :3]
    return np.linalg.norm(place + AFFINE[:3, 3] - centre, axis=-1) <= radius


def save(path, values):
    nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), path)
    return str(path)


def test_a_group_mask_is_that_of_nilearn_made_symmetric(tmp_path):
    """The published steps: the mask of all runs at half of them, met with its mirror image."""
    from nilearn.image import swap_img_hemispheres
    from nilearn.masking import compute_multi_epi_mask, intersect_masks

    rng = np.random.default_rng(0)
    paths = [
        save(tmp_path / f"{x}.nii.gz", 100.0 * ball([x, 0, 0])[..., None] + rng.random((*SHAPE, 3)))
        for x in (-4, 0, 4, 6)
    ]
    theirs = compute_multi_epi_mask(paths, threshold=0.5)
    theirs = intersect_masks([theirs, swap_img_hemispheres(theirs)], threshold=1)
    covered = []
    for number, runs in enumerate((paths[:2], paths[2:])):
        nib.save(cover_runs(runs, {"by": "intensity"}), tmp_path / f"sub-{number}.nii.gz")
        covered.append(str(tmp_path / f"sub-{number}.nii.gz"))
    ours = common_mask(covered, {"by": "intensity", "share": 0.5, "mirrored": True})
    np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())


def test_voxels_that_vary_in_every_run_are_kept(tmp_path):
    rng = np.random.default_rng(1)
    varying = [ball([0, 0, 0]), ball([8, 0, 0])]
    covered = []
    for number, where in enumerate(varying):
        run = save(tmp_path / f"{number}.nii.gz", where[..., None] * rng.random((*SHAPE, 3)))
        nib.save(cover_runs([run], {"by": "variance"}), tmp_path / f"sub-{number}.nii.gz")
        covered.append(str(tmp_path / f"sub-{number}.nii.gz"))
    given = save(tmp_path / "mask.nii.gz", ball([0, 20, 0]))
    spec = {"by": "variance", "share": 1.0, "mirrored": False}
    found = common_mask(covered, spec, given)
    expected = varying[0] & varying[1] & ball([0, 20, 0])
    np.testing.assert_array_equal(found.get_fdata(), expected)


def test_a_grid_without_a_middle_is_not_mirrored(tmp_path):
    image = nib.Nifti1Image(np.ones((5, 4, 4, 1), np.uint8), np.diag([4.0, 4, 4, 1]))
    nib.save(image, tmp_path / "sub.nii.gz")
    spec = {"by": "variance", "share": 1.0, "mirrored": True}
    with pytest.raises(InputError, match="runs from 0 to 16 mm"):
        common_mask([str(tmp_path / "sub.nii.gz")], spec)


def test_a_voxel_without_signal_in_a_run_is_zero_there_and_counted():
    spec = {"runs": ["1"], "samples": 30, "tr": 2.0, "may_be_flat": True}
    values = np.random.default_rng(2).normal(size=(30, 3))
    values[:, 1] = 7
    found, quality = responses.prepare_story({"1": (values, "a.nii.gz")}, ["a", "b", "c"], spec)
    assert (found[:, 1] == 0).all() and np.allclose(found[:, [0, 2]].std(axis=0), 1)
    assert stimuli.fact("targets without signal", 1, "summed over runs; 0 there") in quality


def test_a_subject_without_any_signal_is_refused_all_the_same():
    spec = {"runs": ["1"], "samples": 30, "tr": 2.0, "may_be_flat": True}
    with pytest.raises(InputError, match="all values are zero"):
        responses.prepare_story({"1": (np.zeros((30, 2)), "a.nii.gz")}, ["a", "b"], spec)
