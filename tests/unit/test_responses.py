"""Responses are filtered, trimmed, z-scored and set in step with the items."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmcortex import responses, stimuli
from lmcortex.config import read_yaml
from lmcortex.datasets import Story
from lmcortex.datasets.shared import Sphere
from lmcortex.drift import detrend, drift_basis, remove_drift
from lmcortex.errors import InputError
from lmcortex.volumes import find_voxels, grid_of, read_image, read_voxels, stated_grid

ROOT = Path(__file__).parents[2]
STORY = {
    "dataset": "toy",
    "kind": "story",
    "runs": ["1", "2"],
    "samples": [30, 40],
    "tr": 2.0,
    "start": 0.0,
    "trim": [2, 3],
    "detrend": {"polynomial": 1},
    "targets": [
        {"target": "LATL", "roi": "ATL", "hemisphere": "L"},
        {"target": "RATL", "roi": "ATL", "hemisphere": "R"},
    ],
}


def story_files(folder, suffix, rng):
    files = []
    for run, samples in zip(STORY["runs"], STORY["samples"], strict=True):
        values = rng.normal(size=(samples, 2))
        path = folder / f"sub-01_run-{run}{suffix}"
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".txt":
            np.savetxt(path, values)
        else:  # a header may name the columns in any order, and further columns
            table = pd.DataFrame({"RATL": values[:, 1], "motion": 0.0, "LATL": values[:, 0]})
            table.to_csv(path, index=False, sep="," if suffix == ".csv" else "\t")
        files.append(str(path))
    return files


# --- drift ----------------------------------------------------------------------------------------


def test_the_high_pass_spans_the_cosines_of_nilearn_and_a_line():
    from nilearn.glm.first_level.design_matrix import create_cosine_drift

    n, tr, cutoff = 200, 2.0, 1 / 128
    theirs = np.column_stack([create_cosine_drift(cutoff, tr * np.arange(n)), np.arange(n)])
    ours = drift_basis(n, tr, {"high_pass": cutoff}, "toy")
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(detrend(theirs, ours), 0, atol=1e-10)


def test_a_polynomial_filter_takes_out_polynomials_of_its_order():
    time = np.linspace(0, 1, 362)
    drift = np.polynomial.Polynomial([300, -40, 7, 90, -8, 25])(time)[:, None]
    basis = drift_basis(362, 2.0, {"polynomial": 5}, "toy")
    np.testing.assert_allclose(detrend(drift, basis), 0, atol=1e-9)


def test_a_signal_faster_than_the_cutoff_is_left_alone():
    time = 2.0 * np.arange(360)
    signal = np.sin(2 * np.pi * time / 30)[:, None]
    left = detrend(signal, drift_basis(360, 2.0, {"high_pass": 1 / 128}, "toy"))
    assert np.corrcoef(signal[:, 0], left[:, 0])[0, 1] > 0.99


def test_the_butterworth_filter_is_that_of_nilearns_maskers():
    from nilearn.signal import clean

    series = np.random.default_rng(3).normal(size=(282, 4)).cumsum(axis=0)
    theirs = clean(series, detrend=True, standardize=None, high_pass=1 / 128, t_r=2.0)
    ours, _ = remove_drift(series, 2.0, {"butterworth": 1 / 128}, "toy")
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_a_filter_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="leaves nothing of 6 samples"):
        drift_basis(6, 2.0, {"polynomial": 5}, "toy")


# --- stories --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".npy"])
def test_all_formats_give_the_same_responses(tmp_path, suffix):
    items = stimuli.sample_items(STORY)
    prepared = [
        responses.prepare(
            responses.Files(story_files(tmp_path, kind, np.random.default_rng(0))),
            items,
            STORY,
            subject="01",
        )[0]
        for kind in (suffix, ".npy")
    ]
    np.testing.assert_allclose(prepared[0]["response"], prepared[1]["response"], atol=1e-9)
    assert prepared[0]["item"].to_numpy().tolist() == items["item"].tolist()
    assert prepared[0]["hemisphere"].to_numpy().tolist() == ["L", "R"]


def test_every_run_is_filtered_whole_then_trimmed_then_z_scored(tmp_path):
    files = story_files(tmp_path, ".npy", np.random.default_rng(1))
    values = responses.prepare(
        responses.Files(files), stimuli.sample_items(STORY), STORY, subject="01"
    )[0]["response"].to_numpy()
    expected = []
    for path in files:
        raw = np.load(path)
        time = np.arange(len(raw))
        line = np.polynomial.polynomial.polyfit(time, raw, 1)
        flat = (raw - np.polynomial.polynomial.polyval(time, line).T)[2:-3]
        expected.append((flat - flat.mean(axis=0)) / flat.std(axis=0))
    np.testing.assert_allclose(values, np.concatenate(expected), atol=1e-10)


def test_targets_may_come_from_a_table_with_their_place(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("target,roi,hemisphere,x,y,z\nLATL,ATL,L,-50,10,-20\nRATL,ATL,R,50,,\n")
    table = responses.read_targets(path)
    assert table["x"].tolist() == [-50, 50]
    assert np.isnan(table["y"].iloc[1]) and table["ceiling"].isna().all()


def test_the_average_of_one_run_is_the_mean_over_subjects():
    items = stimuli.sample_items({**STORY, "runs": ["1"], "samples": 30})
    targets = responses.target_table(STORY["targets"])
    values = np.random.default_rng(2).normal(size=(3, len(items), 2))
    subjects = [
        responses.to_dataset(series, items, targets, dataset="toy", subject=str(number))
        for number, series in enumerate(values)
    ]
    mean = responses.average(subjects)
    np.testing.assert_allclose(mean["response"], values.mean(axis=0))
    assert mean.attrs["subject"] == "average" and mean.attrs["n_subjects"] == 3


def test_of_several_runs_the_average_is_standardised_within_each():
    items = stimuli.sample_items(STORY)
    targets = responses.target_table(STORY["targets"])
    shared = np.random.default_rng(3).normal(size=(len(items), 2))
    shared[items["run"] == "2"] *= 0.1  # where subjects agree less, their mean is smaller
    subjects = [
        responses.to_dataset(shared, items, targets, dataset="toy", subject=str(number))
        for number in range(2)
    ]
    mean = responses.average(subjects)["response"].to_numpy()
    for run in ("1", "2"):
        here = (items["run"] == run).to_numpy()
        np.testing.assert_allclose(mean[here], stats.zscore(shared[here]))


# --- sentences ------------------------------------------------------------------------------------

TARGETS = responses.target_table([{"target": "IFG", "roi": "IFG", "hemisphere": "L"}])


def test_sentences_are_put_in_the_order_of_the_items_and_left_as_they_are(tmp_path):
    path = tmp_path / "responses.csv"
    path.write_text("subject,item,IFG\n1,b,2.5\n1,a,-1\n2,a,9\n2,b,8\n")
    items = pd.DataFrame({"item": ["a", "b"], "run": "1"})
    values, _ = responses.prepare_sentences(path, items, TARGETS, {}, subject="1")
    assert values[:, 0].tolist() == [-1, 2.5]


def test_sentences_of_several_runs_are_z_scored_in_each(tmp_path):
    path = tmp_path / "responses.csv"
    path.write_text("subject,item,IFG\n1,a,10\n1,b,20\n1,c,5\n1,d,3\n")
    items = pd.DataFrame({"item": list("abcd"), "run": ["1", "1", "2", "2"]})
    values, _ = responses.prepare_sentences(path, items, TARGETS, {}, subject="1")
    assert values[:, 0].tolist() == [-1, 1, 1, -1]


# --- voxels ---------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    """A scan whose first axis runs from right to left, as in radiological order."""
    import nibabel as nib

    affine = np.array([[-4.0, 0, 0, 8], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]])
    shape = (5, 4, 3)
    labels = np.zeros(shape, np.int16)
    labels[0], labels[2], labels[4] = 1, 7, 14  # x = 8, 0 and -8 mm
    bold = np.random.default_rng(3).normal(size=(*shape, 30)).astype(np.float32)
    made = {"mask": np.ones(shape, np.uint8), "atlas": labels, "bold": bold}
    for name, data in made.items():
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii.gz")
    return {name: str(tmp_path / f"{name}.nii.gz") for name in made} | {"data": bold}


def test_left_is_negative_x_by_the_affine(images):
    rois = {"IFG": {"labels": [1, 14]}}
    voxels = find_voxels(
        grid_of(read_image(images["bold"], 4)), images["mask"], rois, images["atlas"]
    )
    assert voxels.groupby("hemisphere")["x"].unique().map(list).to_dict() == {"L": [-8], "R": [8]}
    assert set(voxels["i"][voxels["hemisphere"] == "L"]) == {4}


def test_the_series_of_a_voxel_is_its_own(images):
    rois = {"IFG": {"labels": [1, 14]}}
    voxels = find_voxels(
        grid_of(read_image(images["bold"], 4)), images["mask"], rois, images["atlas"]
    )
    series = read_voxels([images["bold"]], voxels, grid_of(read_image(images["bold"], 4)))[0]
    one = voxels.iloc[5]
    np.testing.assert_allclose(series[:, 5], images["data"][one["i"], one["j"], one["k"]])


def test_voxels_on_the_midline_have_a_side_of_their_own(images):
    voxels = find_voxels(grid_of(read_image(images["bold"], 4)), images["mask"], {})
    sides = voxels["hemisphere"].value_counts().to_dict()
    assert sides == {"L": 2 * 4 * 3, "R": 2 * 4 * 3, "M": 4 * 3}
    assert (voxels.loc[voxels["hemisphere"] == "M", "x"] == 0).all()


def test_a_sphere_takes_the_voxels_within_its_radius(images):
    rois = {"TP": {"spheres": [[-8, 4, 4], [8, 4, 4]], "radius": 4.0}}
    voxels = find_voxels(grid_of(read_image(images["bold"], 4)), images["mask"], rois)
    # centre and its neighbours along y, z and one side of x; |x| = 4 mm is within reach too
    assert voxels["hemisphere"].value_counts().to_dict() == {"L": 6, "R": 6}


def test_a_mask_of_another_grid_is_resampled(images, tmp_path):
    import nibabel as nib

    fine = nib.Nifti1Image(np.ones((10, 8, 6), np.uint8), np.diag([2.0, 2, 2, 1]))
    fine.affine[:3, 3] = [-9, -1, -1]
    nib.save(fine, tmp_path / "fine.nii.gz")
    voxels = find_voxels(grid_of(read_image(images["bold"], 4)), str(tmp_path / "fine.nii.gz"), {})
    assert len(voxels) == 5 * 4 * 3


def test_nifti_responses_become_voxel_targets(images):
    spec = {**STORY, "runs": ["1"], "samples": 30, "rois": {"IFG": {"labels": [1, 14]}}}
    files = responses.Files([images["bold"]], mask=images["mask"], atlas=images["atlas"])
    prepared, quality = responses.prepare(files, stimuli.sample_items(spec), spec, subject="01")
    assert prepared["response"].shape == (25, 24)
    assert set(prepared["roi"].to_numpy()) == {"IFG"}
    assert quality[0]["measure"] == "midline voxels"


def test_images_are_brought_to_the_grid_that_is_stated(tmp_path):
    import nibabel as nib

    fine = np.diag([2.0, 2, 2, 1])
    place = np.stack(np.meshgrid(*[2.0 * np.arange(20)] * 3, indexing="ij"))
    slope = (place[0] + 2 * place[1] - place[2])[..., None] * [1.0, 3.0]
    nib.save(nib.Nifti1Image(slope, fine), tmp_path / "bold.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((20, 20, 20), np.uint8), fine), tmp_path / "mask.nii.gz")
    grid = stated_grid({"origin": [13, 13, 13], "spacing": 4, "shape": [3, 3, 3]})
    voxels = find_voxels(grid, str(tmp_path / "mask.nii.gz"), {})
    series = read_voxels([str(tmp_path / "bold.nii.gz")], voxels, grid, resample=True)[0]
    expected = voxels["x"] + 2 * voxels["y"] - voxels["z"]
    np.testing.assert_allclose(series, [expected, 3 * expected], rtol=2e-3)


def test_an_image_of_another_grid_is_refused_where_none_is_stated(images):
    grid = stated_grid({"origin": [0, 0, 0], "spacing": 4, "shape": [5, 4, 3]})
    voxels = find_voxels(grid, images["mask"], {})
    with pytest.raises(InputError, match="its voxel grid differs"):
        read_voxels([images["bold"]], voxels, grid)


@pytest.mark.filterwarnings("ignore:The 'zscore' strategy:FutureWarning")
def test_images_are_prepared_as_by_nilearns_masker(tmp_path):
    """As Bonnasse-Gahot & Pallier 2024 did for single people: smoothed, z-scored, then trimmed."""
    import nibabel as nib
    from nilearn.maskers import NiftiMasker

    affine, shape, rng = np.diag([4.0, 4, 4, 1]), (8, 7, 6), np.random.default_rng(5)
    bold = rng.normal(100, 5, size=(*shape, 200)).astype(np.float32)
    mask = nib.Nifti1Image(np.pad(np.ones((4, 3, 2), np.uint8), 2), affine)
    nib.save(nib.Nifti1Image(bold, affine), tmp_path / "bold.nii.gz")
    nib.save(mask, tmp_path / "mask.nii.gz")
    masker = NiftiMasker(
        mask, smoothing_fwhm=4, detrend=True, standardize=True, high_pass=1 / 128, t_r=2.0
    )
    theirs = masker.fit().transform(nib.load(tmp_path / "bold.nii.gz"))[10:-10]
    spec = {
        **STORY, "runs": ["1"], "samples": 200, "trim": [10, 10], "rois": {}, "smoothing": 4.0,
        "detrend": {"butterworth": 1 / 128}, "zscore": "whole",
    }  # fmt: skip
    files = responses.Files([str(tmp_path / "bold.nii.gz")], mask=str(tmp_path / "mask.nii.gz"))
    prepared, _ = responses.prepare(files, stimuli.sample_items(spec), spec, subject="01")
    np.testing.assert_allclose(prepared["response"], theirs, atol=1e-5)


# --- The Little Prince ----------------------------------------------------------------------------


def test_spheres_of_the_little_prince_hold_the_published_voxels(data_dir, monkeypatch):
    """The authors' own images of their regions, and how many voxels they have on each side."""
    import nibabel as nib

    monkeypatch.setenv("LMCORTEX_DATA", str(data_dir))
    dataset = Story.model_validate(read_yaml(ROOT / "config/datasets/lpp-en.yaml"))
    mask = data_dir / "lpp" / "mask_lpp_en.nii.gz"
    if not mask.exists():
        pytest.skip(f"no {mask}")
    sides = {
        roi: {"spheres": [sphere.center, [-sphere.center[0], *sphere.center[1:]]], "radius": 10}
        for roi, sphere in dataset.rois.items()
        if isinstance(sphere, Sphere)
    }
    voxels = find_voxels(stated_grid(dataset.responses_spec()["grid"]), str(mask), sides)
    counts = {roi: set(part.value_counts("hemisphere")) for roi, part in voxels.groupby("roi")}
    assert counts == {
        **{"TP": {59}, "aSTS": {56}, "pSTS": {69}, "AGTPJ": {56}},
        **{"BA44": {56}, "BA45": {53}, "BA47": {81}},
    }
    for roi, part in voxels.groupby("roi"):
        name = {"AGTPJ": "AG_TPJ"}.get(roi, roi)
        published = nib.load(data_dir / "lpp" / "roi_masks" / f"{name}.nii.gz")
        left = np.argwhere(np.asanyarray(published.dataobj) > 0)
        mirrored = np.unique([[36, 0, 0]] + left * [-1, 1, 1], axis=0)
        for side, voxels_of in (("L", left), ("R", mirrored)):
            ours = part.loc[part["hemisphere"] == side, ["i", "j", "k"]]
            np.testing.assert_array_equal(ours, voxels_of)
