"""Noise ceilings."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex import ceilings, responses
from lmcortex.drift import detrend, drift_basis
from lmcortex.errors import InputError

SUBJECTS = [18, 22, 23, 24, 26, 28, 30, 31, *range(35, 54)]
TARGETS = ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"]


def dataset(values, subject, published=np.nan):
    items = pd.DataFrame({"item": np.arange(len(values)).astype(str), "run": "1", "time": 0.0})
    targets = responses.target_table(
        [
            {"target": f"t{number}", "roi": f"R{number}", "hemisphere": "L", "ceiling": published}
            for number in range(values.shape[1])
        ]
    )
    return responses.to_dataset(values, items, targets, dataset="toy", subject=subject)


def noisy_subjects(n, noise, samples=4000):
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(samples, 1))
    return signal, signal + noise * rng.normal(size=(n, samples, 1))


def test_leave_one_out_is_the_correlation_with_the_mean_of_the_others():
    stack = np.random.default_rng(1).normal(size=(5, 40, 3)) + np.arange(3)
    expected = [
        [np.corrcoef(stack[s, :, t], np.delete(stack, s, 0).mean(0)[:, t])[0, 1] for t in range(3)]
        for s in range(5)
    ]
    np.testing.assert_allclose(ceilings.leave_one_out(stack), expected, atol=1e-12)


def test_pairwise_is_the_mean_over_pairs_of_subjects():
    stack = np.random.default_rng(2).normal(size=(4, 40, 1))
    matrix = np.corrcoef(stack[:, :, 0])
    expected = matrix[np.triu_indices(4, 1)].mean()
    np.testing.assert_allclose(ceilings.pairwise(stack), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "noise"), [(4, 1.0), (20, 3.0)])
def test_the_ceiling_of_the_average_is_its_correlation_with_the_signal(n, noise):
    signal, stack = noisy_subjects(n, noise)
    truth = np.corrcoef(stack.mean(axis=0)[:, 0], signal[:, 0])[0, 1]
    ceiling = ceilings.spearman_brown(ceilings.pairwise(stack), n)
    assert ceiling[0] == pytest.approx(truth, abs=0.02)


def test_subjects_who_do_not_agree_have_a_ceiling_of_zero():
    assert ceilings.spearman_brown(np.array([-0.1]), 5).tolist() == [0]


def test_each_subject_and_the_average_have_their_own_kind_of_ceiling():
    _, stack = noisy_subjects(3, 1.0, samples=50)
    subjects = [dataset(values, str(number)) for number, values in enumerate(stack)]
    table, quality = ceilings.estimate([*subjects, responses.average(subjects)])
    assert table["subject"].tolist() == ["0", "1", "2", "average"]
    assert table["source"].tolist() == ["leave-one-out ISC"] * 3 + ["Spearman-Brown"]
    assert (table["n_subjects"] == 3).all()
    assert quality[0]["value"] == pytest.approx(table["ceiling"][:3].mean())


def test_a_published_ceiling_stands_for_the_average_only():
    _, stack = noisy_subjects(2, 1.0, samples=50)
    subjects = [dataset(values, str(number), 0.5) for number, values in enumerate(stack)]
    table, _ = ceilings.estimate(subjects)
    assert table["source"].tolist() == ["leave-one-out ISC"] * 2 + ["published"]
    assert table["ceiling"].iloc[-1] == 0.5


def test_the_average_alone_keeps_its_published_ceiling():
    table, quality = ceilings.estimate([dataset(np.random.rand(9, 1), "average", 0.4)])
    assert table[["ceiling", "source"]].iloc[0].tolist() == [0.4, "published"]
    assert quality == []


def test_one_subject_without_a_published_ceiling_has_none():
    table, _ = ceilings.estimate([dataset(np.random.rand(9, 1), "01")])
    assert table["source"].iloc[0] == "none" and np.isnan(table["ceiling"].iloc[0])


@pytest.fixture(scope="module")
def alice(data_dir):
    folder = data_dir / "alice/timecourses_6mm"
    return [np.loadtxt(folder / f"s{subject}-timecourses.txt") for subject in SUBJECTS]


def isc(series, filter_):
    drift = drift_basis(362, 2.0, filter_, "alice")
    stack = [responses.standardise(detrend(raw, drift), raw, TARGETS, "alice") for raw in series]
    return ceilings.leave_one_out(np.stack(stack)).mean(axis=0)


def test_the_isc_of_alice_agrees_with_an_independent_computation(alice):
    expected = [0.333, 0.260, 0.430, 0.285, 0.261, 0.200]
    np.testing.assert_allclose(isc(alice, {"polynomial": 5}), expected, atol=0.01)


def test_the_isc_of_alice_stays_high_under_the_filter_of_the_study(alice):
    # LATL .275, RATL .212, LPTL .395, LIPL .267, LPreM .250, LIFG .201
    found = isc(alice, {"high_pass": 1 / 128})
    assert (found > 0.19).all() and (found < isc(alice, {"polynomial": 5}) + 0.01).all()


# --- half of the subjects predicts the other half -------------------------------------------------


def test_half_groups_are_those_of_the_published_description():
    """The protocol step by step, one scikit-learn ridge for each penalty and run."""
    rng = np.random.default_rng(5)
    runs = np.repeat(["1", "2", "3", "4"], 30)
    stack = rng.normal(size=(120, 6)) + 2 * rng.normal(size=(5, 120, 6))
    draws = np.random.RandomState(1234)
    expected = []
    for _ in range(2):
        order = np.arange(5)
        draws.shuffle(order)
        x, y = stack[order[:2]].mean(axis=0), stack[order[2:]].mean(axis=0)
        scores = []
        for test in "1234":
            first = runs == min(set("1234") - {test})
            rest = (runs != test) & ~first
            predictions = [ridge(x[rest], y[rest], alpha, x[first]) for alpha in ceilings.ALPHAS]
            means = [np.mean(correlations(y[first], predicted)) for predicted in predictions]
            best, train = ceilings.ALPHAS[np.argmax(means)], runs != test
            predicted = ridge(x[train], y[train], best, x[runs == test])
            scores.append(correlations(y[runs == test], predicted))
        expected.append(np.mean(scores, axis=0))
    found = ceilings.half_group_isc(stack, runs, n_halvings=2)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def ridge(x, y, alpha, new):
    from sklearn.linear_model import Ridge

    return Ridge(alpha=alpha, fit_intercept=False).fit(x, y).predict(new)


def correlations(one, other):
    return [np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)]


def test_half_groups_find_the_targets_that_subjects_share():
    rng = np.random.default_rng(6)
    shared = np.hstack([rng.normal(size=(300, 4)), np.zeros((300, 4))])
    stack = shared + rng.normal(size=(12, 300, 8))
    subjects = [dataset(values, str(number)) for number, values in enumerate(stack)]
    subjects = [one.assign_coords(run=("sample", np.repeat(list("123"), 100))) for one in subjects]
    table, _ = ceilings.estimate(subjects, half_groups=True)
    mean = table[table["subject"] == "average"]
    assert set(mean["source"]) == {"half-groups"}
    assert (mean["ceiling"][:4] > 0.7).all() and (mean["ceiling"][4:] < 0.2).all()
    assert mean["reliable"].tolist() == (mean["ceiling"] > mean["ceiling"].quantile(0.75)).tolist()


def test_reliable_voxels_of_the_little_prince_are_the_published_ones(data_dir):
    path = data_dir / "lpp" / "isc_10trials_en.npy"
    if not path.exists():
        pytest.skip(f"no {path}")
    isc = np.load(path).mean(axis=0)
    found = ceilings.reliable(isc)
    half = len(isc) // 2  # the published sides are the halves of the voxels' order
    assert (found.sum(), found[:half].sum(), found[half:].sum()) == (6468, 3297, 3171)
    assert isc.mean() == pytest.approx(0.3650, abs=5e-5)
    assert np.percentile(isc, ceilings.RELIABLE_PERCENTILE) == pytest.approx(0.4873, abs=5e-5)


# --- published, as an image -----------------------------------------------------------------------


@pytest.fixture
def image(tmp_path):
    """Ceilings of the voxels at x, y, z from 0 to 4 mm; one of them has none."""
    values = np.arange(8).reshape(2, 2, 2) / 10
    values[1, 1, 1] = np.nan
    nib.save(nib.Nifti1Image(values, np.diag([4.0, 4, 4, 1])), tmp_path / "ceiling.nii.gz")
    return str(tmp_path / "ceiling.nii.gz")


def at(*places):
    names = [f"t{number}" for number in range(len(places))]
    columns = {
        axis: ("target", list(values))
        for axis, values in zip("xyz", zip(*places, strict=True), strict=True)
    }
    return xr.Dataset(coords={"target": names, **columns})


def test_published_ceilings_are_found_by_the_places_of_voxels(image):
    found = ceilings.read_published(image, at((0, 4, 0), (4, 0, 4)))
    assert found == {"t0": 0.2, "t1": 0.5}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((4, 4, 4), r"1 of 2 voxels have no ceiling from -1 to 1, as that at \[4 4 4\] mm"),
        ((2, 0, 0), r"no voxel is centred at \[2 0 0\] mm"),
        ((8, 0, 0), r"no voxel is centred at \[8 0 0\] mm"),
    ],
    ids=["no value", "between voxels", "outside"],
)
def test_a_voxel_without_a_published_ceiling_is_refused(image, place, message):
    with pytest.raises(InputError, match=message):
        ceilings.read_published(image, at((0, 0, 0), place))
