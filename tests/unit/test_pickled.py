"""Arrays are taken out of joblib's files without loading a pickle."""

import subprocess
import sys
from pathlib import Path

import joblib
import nibabel as nib
import numpy as np
import pytest

from lmcortex.errors import InputError
from lmcortex.pickled import read_joblib_array

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "import_average.py"


def test_the_array_is_what_joblib_wrote(tmp_path):
    values = np.random.default_rng(0).normal(size=(28, 31))
    joblib.dump(values, tmp_path / "run.gz", compress=4)
    np.testing.assert_array_equal(read_joblib_array(tmp_path / "run.gz", (28, 31)), values)


@pytest.mark.parametrize(
    "values", [np.ones((28, 30)), np.ones((28, 62), np.float32), np.ones((31, 28)).T]
)
def test_an_array_of_another_size_type_or_order_is_refused(tmp_path, values):
    joblib.dump(values, tmp_path / "run.gz", compress=4)
    with pytest.raises(InputError, match=r"one float64 array of shape \(28, 31\)"):
        read_joblib_array(tmp_path / "run.gz", (28, 31))


def test_a_mean_subject_becomes_images_in_the_order_of_its_mask(tmp_path):
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[0, 1, 2] = mask[2, 0, 1] = mask[1, 3, 4] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([4.0, 4, 4, 1])), tmp_path / "mask.nii.gz")
    values = np.random.default_rng(1).normal(size=(6, 3))
    isc = np.random.default_rng(2).normal(size=(10, 3))
    joblib.dump(values, tmp_path / "average_subject_run-0.gz", compress=4)
    joblib.dump(isc, tmp_path / "isc.gz", compress=4)
    arguments = ["--arrays", "average_subject_run-0.gz", "--samples", "6", "--isc", "isc.gz"]
    arguments += ["--mask", "mask.nii.gz", "--output", "images"]
    subprocess.run([sys.executable, str(SCRIPT), *arguments], cwd=tmp_path, check=True)
    image = nib.load(tmp_path / "images" / "run-1.nii.gz").get_fdata()
    np.testing.assert_allclose(image[0, 1, 2], values[:, 0], rtol=1e-6)
    np.testing.assert_allclose(image[1, 3, 4], values[:, 1], rtol=1e-6)
    np.testing.assert_allclose(image[2, 0, 1], values[:, 2], rtol=1e-6)
    ceiling = nib.load(tmp_path / "images" / "ceiling.nii.gz").get_fdata()
    np.testing.assert_allclose(ceiling[mask > 0], isc.mean(axis=0), rtol=1e-6)
    assert np.isnan(ceiling[mask == 0]).all()
