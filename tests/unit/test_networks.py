"""Maps of atoms, their labels and their organization, against closed forms and planted ones."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.stats import false_discovery_control, ttest_1samp
from sklearn.linear_model import Lasso, Ridge

from lmcortex.folds import make_folds
from lmcortex.networks import group, labels, maps, subjects
from lmcortex.networks.organization import consistency, describe, effective_number, random_members
from lmcortex.networks.surrogates import phase_randomised
from lmcortex.responses import to_dataset

RUNS = np.repeat(["1", "2"], [60, 61])
SPEC = {"n_null": 99, "level": 0.05, "top_share": 0.2, "dice": 0.2, "n_draws": 200}


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def smooth(n: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Draw autocorrelated columns."""
    steps = rng.standard_normal((n + 20, columns))
    return scaled(sum(steps[lag : lag + n] * 0.7**lag for lag in range(20)))


# --- surrogates -----------------------------------------------------------------------------------


def test_surrogates_keep_spectra_and_correlations_in_every_run() -> None:
    rng = np.random.default_rng(0)
    atoms = smooth(121, 3, rng)
    surrogate = phase_randomised(atoms, RUNS, rng)
    for run in ("1", "2"):
        one, other = atoms[run == RUNS], surrogate[run == RUNS]
        assert_allclose(*(np.abs(np.fft.fft(x, axis=0)) for x in (one, other)), atol=1e-9)
        assert_allclose(one.T @ one, other.T @ other, atol=1e-9)
        assert_allclose(one.mean(axis=0), other.mean(axis=0), atol=1e-12)


def test_surrogates_are_unrelated_to_the_atoms() -> None:
    rng = np.random.default_rng(1)
    atoms = rng.standard_normal((121, 1))
    r = [
        np.corrcoef(atoms[:, 0], phase_randomised(atoms, RUNS, rng)[:, 0])[0, 1] for _ in range(200)
    ]
    assert abs(np.mean(r)) < 0.03 and np.std(r) < 0.15


# --- maps -----------------------------------------------------------------------------------------


def test_sparse_maps_equal_the_lasso() -> None:
    rng = np.random.default_rng(2)
    atoms = smooth(100, 6, rng)
    responses = scaled(atoms[:, :3] + rng.standard_normal((100, 3)))
    expected = Lasso(alpha=0.1, fit_intercept=False, tol=1e-8).fit(atoms, responses).coef_.T
    assert_allclose(maps.sparse_map(atoms, responses, 0.1), expected, atol=1e-5)


def test_ridge_maps_equal_ridge_regression() -> None:
    rng = np.random.default_rng(3)
    atoms, responses = smooth(100, 6, rng), rng.standard_normal((100, 3))
    expected = Ridge(alpha=20, fit_intercept=False).fit(atoms, responses).coef_.T
    assert_allclose(maps.ridge_map(atoms, responses, 0.2), expected, atol=1e-8)


ITEMS = pd.DataFrame({"item": map(str, range(200)), "run": "1", "time": 2.0 * np.arange(200)})
FOLDS = make_folds({"scheme": "blocks", "n": 5, "gap": 16.0}, ITEMS)


@pytest.mark.parametrize("encoder", [maps.SPARSE, maps.RIDGE])
def test_responses_that_atoms_drive_are_explained_out_of_fold_and_others_are_not(encoder) -> None:
    rng = np.random.default_rng(4)
    atoms = smooth(200, 10, rng)
    driven = atoms @ rng.standard_normal((10, 8)) / np.sqrt(10) + 0.3 * rng.standard_normal(
        (200, 8)
    )
    found = maps.fit_maps(encoder, atoms, scaled(driven), FOLDS)
    assert found.r2_cv.min() > 0.5
    noise = maps.fit_maps(encoder, atoms, smooth(200, 8, rng), FOLDS)
    assert noise.r2_cv.mean() < 0.02 and noise.r2_in.mean() >= noise.r2_cv.mean()


def test_in_sample_r2_is_the_squared_correlation_of_least_squares() -> None:
    rng = np.random.default_rng(5)
    atoms, responses = smooth(200, 4, rng), scaled(rng.standard_normal((200, 2)))
    fit = maps.fit_maps(maps.RIDGE, atoms, responses, FOLDS)
    guess = atoms @ maps.ridge_map(atoms, responses, fit.penalty)
    expected = 1 - ((responses - guess) ** 2).mean(axis=0) / responses.var(axis=0)
    assert_allclose(fit.r2_in, expected)


def test_nuisance_leaves_no_correlation_in_any_run() -> None:
    rng = np.random.default_rng(6)
    nuisance, values = rng.standard_normal((121, 1)), rng.standard_normal((121, 3))
    rest = maps.without(nuisance, values + 2 * nuisance, RUNS)
    for run in ("1", "2"):
        here = run == RUNS
        assert_allclose(nuisance[here].T @ rest[here], 0, atol=1e-9)
        assert_allclose(rest[here].std(axis=0), 1)


# --- parts and labels -----------------------------------------------------------------------------


def test_t_is_that_of_one_sample() -> None:
    values = np.random.default_rng(7).normal(0.3, 1, (9, 4, 5))
    assert_allclose(group.group_maps(iter(values)), ttest_1samp(values, 0).statistic)


def test_the_parts_of_a_map_are_those_that_pass_the_false_discovery_rate() -> None:
    rng = np.random.default_rng(8)
    t = rng.standard_t(11, (20, 200))
    t[:10, :40] += 5
    t[:10, 40:60] -= 5
    parts = labels.split_map(t, 12, 0.05, 0.1)
    from scipy.stats import t as distribution

    q = false_discovery_control(2 * distribution.sf(np.abs(t), 11), axis=1)
    passing = q <= 0.05
    assert parts.survived.tolist() == passing.any(axis=1).tolist()
    for atom in np.flatnonzero(parts.survived):
        assert np.array_equal(parts.inside[0, atom], passing[atom] & (t[atom] > 0))
        assert np.array_equal(parts.inside[1, atom], passing[atom] & (t[atom] < 0))


def test_where_none_passes_the_strongest_targets_stand_in() -> None:
    t = np.array([[0.1, -0.3, 0.2, 0.0, 0.0]])
    parts = labels.split_map(t, 20, 0.05, 0.4)
    assert not parts.survived[0]
    assert parts.inside[:, 0].astype(int).tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


def test_dice_is_twice_the_overlap_over_the_sum_of_sizes() -> None:
    parts = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    networks = np.array([[1, 1, 0, 0, 0], [0, 1, 1, 1, 0]], bool)
    everywhere = np.ones((2, 5), bool)
    assert_allclose(labels.dice(parts, networks, everywhere), [[1, 0.4], [0, 0]])


def test_dice_counts_only_what_the_atlas_covers() -> None:
    networks = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    covered = group.covered_by(networks, np.array([0, 0, 1]))
    found = labels.dice(np.array([1, 1, 0, 1, 1], bool), networks, covered)
    assert_allclose(found, [1, 0, 2 * 4 / 9])


def planted_group(seed: int = 9) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return atoms, responses of subjects and networks: atom 0 drives network 0, 1 stops 1."""
    rng = np.random.default_rng(seed)
    atoms = smooth(121, 4, rng)
    networks = np.repeat(np.eye(3, dtype=bool), 10, axis=1)
    signal = np.outer(atoms[:, 0], networks[0]) - np.outer(atoms[:, 1], networks[1])
    return atoms, [scaled(signal + 2 * smooth(121, 30, rng)) for _ in range(8)], networks


@pytest.fixture(scope="module")
def tested() -> tuple[group.Group, np.ndarray]:
    atoms, responses, networks = planted_group()
    rng = np.random.default_rng(10)
    one = np.zeros(len(networks))
    found = group.tested_group(atoms, RUNS, lambda: iter(responses), 1.0, networks, one, SPEC, rng)
    return found, networks


def test_planted_atoms_are_associated_with_their_networks_and_sign(tested) -> None:
    found = group.associated(tested[0], SPEC)
    assert found[0, 0, 0] and found[1, 1, 1]
    assert not found[1, 0].any() and not found[0, 1].any()


def test_planted_atoms_are_stronger_than_any_surrogate(tested) -> None:
    for p in (tested[0].p_strength, tested[0].p_family):
        assert p[0, 0, 0] == p[1, 1, 1] == 0.01


def test_a_family_is_harder_to_surpass_than_one_of_it(tested) -> None:
    assert (tested[0].p_family >= tested[0].p_strength).all()


def test_the_family_of_a_network_is_its_atlas() -> None:
    strength = np.zeros((2, 3, 4))
    strength[0, 1, 0], strength[1, 2, 3] = 5, 7
    assert group.largest(strength, np.array([0, 0, 1, 1])).tolist() == [5, 5, 7, 7]


def test_the_weights_of_a_group_are_those_of_its_subjects(tested) -> None:
    atoms, responses, _ = planted_group()
    expected = [maps.ridge_map(atoms, subject, 1.0) for subject in responses]
    assert_allclose(tested[0].weights, expected)


def test_intervals_of_weights_are_those_of_students_t(tested) -> None:
    found, networks = tested
    means, low, high = group.weight_intervals(found.weights, networks)
    own = found.weights[:, 0, networks[0]].mean(axis=1)
    interval = ttest_1samp(own, 0).confidence_interval(0.95)
    assert_allclose([means[0, 0], low[0, 0], high[0, 0]], [own.mean(), *interval])


def test_the_table_of_labels_names_each_atom_sign_and_network(tested) -> None:
    found, networks = tested
    table = group.label_table(found, ["a", "b", "c"], networks, SPEC)
    assert len(table) == 2 * 4 * 3
    row = table.set_index(["sign", "atom", "network"]).loc[("deactive", 1, "b")]
    assert row["headline"] and row["associated"] and row["high"] < 0
    assert row["dice"] == pytest.approx(found.dice[1, 1, 1])


def test_maps_of_halves_agree_where_subjects_do() -> None:
    rng = np.random.default_rng(11)
    shared = np.zeros((2, 40))
    shared[0, :4] = [9, -9, 9, -9]
    weights = shared + rng.standard_normal((8, 2, 40))
    alike, unlike = group.split_half(weights, 0.1, rng)
    assert alike > 0.9 and unlike < 0.4


def test_the_interval_of_explained_variance_is_that_of_students_t_over_subjects() -> None:
    rng = np.random.default_rng(21)
    values = rng.random((5, 4))
    keys = ("r2_in main", "r2_cv main")
    found = xr.Dataset(
        {key: ("target", np.append(values.ravel(), 9.0)) for key in keys},
        {"subject": ("target", [*np.repeat(list("abcde"), 4), "average"])},
    )
    facts = {fact.measure: fact for fact in group.explained(found, "main")}
    expected = ttest_1samp(values.mean(axis=1), 0).confidence_interval(0.95)
    fact = facts["cross-validated R2, subjects"]
    assert_allclose([fact.value, fact.ci_low, fact.ci_high], [values.mean(), *expected])
    assert facts["largest in-sample R2, mean response"].value == 9


# --- organization ---------------------------------------------------------------------------------


def test_the_effective_number_is_that_of_equal_shares() -> None:
    assert effective_number(np.array([3, 3, 0, 3])) == pytest.approx(3)
    assert effective_number(np.zeros(4)) == 0


def test_consistency_is_the_mean_over_pairs() -> None:
    similarity = np.array([[1, 0.2, 0.4], [0.2, 1, 0.9], [0.4, 0.9, 1]])
    drawn = np.array([[1.0, 1, 0], [0, 1, 1]])
    fact = consistency(similarity, np.array([0, 2]), drawn)
    assert (fact.value, fact.expected) == (pytest.approx(0.4), pytest.approx(0.55))
    assert fact.p == pytest.approx(2 / 3)


def test_random_members_are_as_many_as_asked_for() -> None:
    drawn = random_members(9, 4, 50, np.random.default_rng(12))
    assert drawn.shape == (50, 9) and set(drawn.sum(axis=1)) == {4.0}
    assert len({tuple(row) for row in drawn}) > 20


def test_organization_counts_networks_and_their_atoms() -> None:
    rng = np.random.default_rng(13)
    atoms = scaled(rng.standard_normal((50, 5)))
    atoms[:, 1] = atoms[:, 0]
    found = np.zeros((2, 5, 3), bool)
    found[0, [0, 1], 0] = found[1, 2, 2] = True
    parts = np.zeros((2, 5, 6), bool)
    parts[0, [0, 1], :2] = True
    facts = {
        (fact.sign, fact.network, fact.measure): fact
        for fact in describe(atoms, parts, found, ["a", "b", "c"], 100, rng)
    }
    assert facts["active", "a", "atoms"].value == 2 and facts["deactive", "c", "atoms"].value == 1
    assert facts["all", "all", "networks"].value == 2
    assert facts["all", "all", "atoms per network"].value == 1.5
    assert facts["active", "a", "temporal consistency"].value == pytest.approx(1)
    assert facts["active", "a", "spatial consistency"].value == pytest.approx(1)
    assert facts["active", "a", "temporal consistency"].p < 0.2
    assert ("deactive", "c", "temporal consistency") not in facts


# --- subjects -------------------------------------------------------------------------------------

WORDS = pd.DataFrame({"run": "1", "onset": 0.7 * np.arange(500), "duration": 0.3})
TARGETS = pd.DataFrame(
    {"target": ["u", "v"], "roi": ["A", "B"], "hemisphere": "L", **dict.fromkeys("xyz", np.nan)}
).assign(ceiling=np.nan)


def recorded(subject: str, seed: int) -> xr.Dataset:
    values = scaled(smooth(200, 2, np.random.default_rng(seed)))
    return to_dataset(values, ITEMS, TARGETS, dataset="d", subject=subject)


def test_each_subject_is_mapped_as_if_alone() -> None:
    sets = {"main": smooth(200, 5, np.random.default_rng(14))}
    spec = {"folds": {"scheme": "blocks", "n": 5, "gap": 16.0}}
    people = [recorded("1", 15), recorded("2", 16)]
    together = subjects.map_atoms(sets, people, ITEMS, WORDS, spec)
    alone = subjects.map_atoms(sets, people[1:], ITEMS, WORDS, spec)
    assert together["subject"].to_numpy().tolist() == ["1", "1", "2", "2"]
    for name in alone.data_vars:
        assert_allclose(together[name].to_numpy()[..., 2:], alone[name].to_numpy(), atol=1e-6)
