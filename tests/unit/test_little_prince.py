"""The published numbers of The Little Prince, from the authors' own mask and reliability."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex import ceilings, storage
from lmcortex.config import read_yaml
from lmcortex.datasets import Story
from lmcortex.datasets.recorded import region_names
from lmcortex.errors import InputError
from lmcortex.homologues import halve_midline
from lmcortex.responses import TARGET_COLUMNS, to_dataset
from lmcortex.scores import score_rois
from lmcortex.volumes import (
    Grid,
    fill_mask,
    find_voxels,
    grid_of,
    image_on,
    labels_at,
    read_image,
    resample_to,
)

ROOT = Path(__file__).resolve().parents[2]
# Of Bonnasse-Gahot & Pallier 2024: voxels of the mask, and the most reliable quarter of them.
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
def ceiling(little_prince, voxels, tmp_path_factory) -> pd.DataFrame:
    """The ceilings of the one subject `average`, from the authors' ISC as an image."""
    image = str(tmp_path_factory.mktemp("ceiling") / "ceiling.nii.gz")
    isc = np.load(little_prince / "isc_10trials_en.npy").mean(axis=0)
    mask = read_image(str(little_prince / "mask_lpp_en.nii.gz"), 3)
    storage.write_image(fill_mask(mask, isc), image, {})
    items = pd.DataFrame({"item": ["a", "b"], "run": "1", "time": [0.0, 2.0]})
    targets = voxels.reindex(columns=list(TARGET_COLUMNS)).astype({"ceiling": float})
    mean = to_dataset(np.zeros((2, WHOLE)), items, targets, dataset="lpp", subject="average")
    table, _ = ceilings.estimate([mean], ceilings.read_published(image, mean))
    return table


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


def test_published_ceilings_are_those_of_the_mean_subject(ceiling):
    """.3650 and .4873 are the mean and the 75th percentile of the authors' file."""
    assert set(ceiling["source"]) == {"published"}
    assert ceiling["ceiling"].mean() == pytest.approx(0.3650, abs=5e-5)
    assert np.percentile(ceiling["ceiling"], 75) == pytest.approx(0.4873, abs=5e-5)
    assert ceiling["reliable"].sum() == RELIABLE["both"]


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


def test_labels_of_an_atlas_are_those_of_nilearns_nearest_resampling(
    little_prince, voxels, tmp_path
):
    """As the authors brought Harvard-Oxford, whose grid this is, to their voxels."""
    affine = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    labels = np.random.default_rng(0).integers(49, size=(91, 109, 91)).astype(np.uint8)
    image = image_on(Grid(affine, labels.shape), labels)
    storage.write_image(image, tmp_path / "atlas.nii.gz", {})
    mask = read_image(str(little_prince / "mask_lpp_en.nii.gz"), 3)
    resampled = np.asanyarray(resample_to(image, grid_of(mask), "nearest").dataobj)
    found = labels_at(tmp_path / "atlas.nii.gz", voxels[["x", "y", "z"]].to_numpy())
    np.testing.assert_array_equal(found, resampled[voxels["i"], voxels["j"], voxels["k"]])


def test_the_parcels_of_harvard_oxford_have_names_that_files_can_have():
    assert len(region_names(str(ROOT / "config/atlases/harvard-oxford.tsv"), "roi")) == 48
    with pytest.raises(InputError, match="`Angular Gyrus` is no name of an ROI"):
        region_names(str(ROOT / "config/atlases/harvard-oxford.tsv"), "name")


def test_of_the_ready_made_mean_the_words_alone_come_from_the_archive(monkeypatch):
    monkeypatch.setenv("LMCORTEX_DATA", "/data")
    content = read_yaml(ROOT / "config/datasets/lpp-en-average.yaml")
    assert Story.model_validate(content).archived_parts() == ["words"]
