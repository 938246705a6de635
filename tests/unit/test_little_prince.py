"""The published numbers of The Little Prince, from the authors' own mask and reliability."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex.homologues import halve_midline
from lmcortex.scores import score_rois
from lmcortex.volumes import find_voxels, grid_of, read_image

# D. of Bonnasse-Gahot & Pallier 2024: voxels of the mask, and the most reliable quarter of them.
WHOLE, MIDLINE = 25_870, 1_020
RELIABLE = {"L": 3297, "R": 3171, "both": 6468}


@pytest.fixture(scope="module")
def little_prince(data_dir) -> Path:
    if not (data_dir / "lpp").is_dir():
        pytest.skip(f"no {data_dir / 'lpp'}")
    return data_dir / "lpp"


@pytest.fixture(scope="module")
def voxels(little_prince) -> pd.DataFrame:
    mask = str(little_prince / "mask_lpp_en.nii.gz")
    return find_voxels(grid_of(read_image(mask, 3)), mask, {})


@pytest.fixture(scope="module")
def ceiling(little_prince, voxels) -> pd.DataFrame:
    """The published ISC, which is in the order of the mask."""
    isc = np.load(little_prince / "isc_10trials_en.npy").mean(axis=0)
    return voxels[["target"]].assign(subject="average", ceiling=isc)


def sizes(voxels: pd.DataFrame, ceiling: pd.DataFrame, rois: dict, **spec) -> pd.DataFrame:
    """Return how many voxels each ROI (rows) has of each hemisphere (columns), in the scores."""
    n = len(voxels)
    dims = ("layer", "fold", "target")
    fit = xr.Dataset(
        {name: (dims, np.zeros((1, 2, n))) for name in ("r_test", "r_inner")}
        | {"alpha_index": (dims, np.zeros((1, 2, n), int)), "test_fold": ("sample", [0, 0, 1, 1])},
        {name: ("target", voxels[name].to_numpy()) for name in ("target", "hemisphere", *"xyz")}
        | {"roi": ("target", ["brain"] * n), "subject": ("target", ["average"] * n)}
        | {"layer": [0], "run": ("sample", list("1122"))},
        {"n_alphas": 1, "alpha_low": 0.0, "alpha_high": 0.0},
    )
    cell = dict.fromkeys(("dataset", "fit", "model", "checkpoint"), "lpp")
    drawn = {"n_permutations": 1, "n_resamples": 1, "resample_block": 1, "seed": 0}
    rule = {"layer_choice": "test", "n_layers": 1, "rois": rois}
    scores, _ = score_rois([fit], ceiling, {**cell, **drawn, **rule, **spec})
    nested = scores[scores["layer"] == -1]
    return nested.pivot_table(index="roi", columns="hemisphere", values="n_targets")


def test_the_whole_brain_has_the_published_voxels(voxels):
    assert len(voxels) == WHOLE
    assert voxels["hemisphere"].value_counts()["M"] == MIDLINE


def test_by_order_the_first_half_of_all_voxels_is_left(voxels):
    published = np.where(np.arange(WHOLE) < WHOLE // 2, "L", "R")
    np.testing.assert_array_equal(halve_midline(voxels["hemisphere"].to_numpy()), published)


def test_reliable_voxels_are_the_published_ones_on_each_side(voxels, ceiling):
    rois = {"reliable": {"above_percentile": 75}}
    found = sizes(voxels, ceiling, rois, halve_midline=True)
    assert found.loc["reliable"].to_dict() == RELIABLE
    assert found.loc["all"].to_dict() == {"L": WHOLE // 2, "R": WHOLE // 2, "both": WHOLE}


def test_without_a_rule_the_midline_counts_for_both_sides_alone(voxels, ceiling):
    found = sizes(voxels, ceiling, {"reliable": {"above_percentile": 75}})
    lateral = (WHOLE - MIDLINE) // 2
    assert found.loc["all"].to_dict() == {"L": lateral, "R": lateral, "both": WHOLE}
    assert found.loc["reliable", "both"] == RELIABLE["both"]
