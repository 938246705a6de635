"""Modules of layers: against brute force and scikit-learn, planted ones, and none at all."""

from itertools import product

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score, silhouette_score

from lmcortex.errors import InputError
from lmcortex.statistics import clusters, modules

STEPS = 2 ** np.arange(8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def find(entropy, curvature, rng, n_nulls=99):
    return modules.find_modules(entropy, curvature, STEPS, rng, n_nulls=n_nulls)


def planted(low: np.ndarray, rng, noise: float = 0.2) -> list[np.ndarray]:
    """Return entropy and curvature (steps x layers) of modules on unlike scales."""
    low = np.broadcast_to(low, (len(STEPS), low.shape[-1]))
    scales = [(1.5, 0.3), (110.0, 6.0)]
    return [m - s * low + noise * s * rng.standard_normal(low.shape) for m, s in scales]


def p_of(found: modules.Modules, null: str, statistic: str) -> float:
    table = found.nulls.set_index(["null", "statistic"])
    return float(table.loc[(null, statistic), "p"])


# --- clusters -------------------------------------------------------------------------------------


def test_cuts_of_wards_tree_are_those_of_scipy(rng):
    points = rng.standard_normal((100, 9, 3))
    trees = [linkage(each, "ward") for each in points]
    for k, labels in enumerate(clusters.ward(points, 5), start=1):
        expected = np.stack([fcluster(tree, k, "maxclust") for tree in trees])
        assert (clusters.adjusted_rand(labels, expected) == 1).all()


def test_two_means_is_the_best_of_all_cuts(rng):
    points = rng.standard_normal((500, 6, 2)) * [1.0, 0.3]
    cuts = np.array([(0, *rest) for rest in product((0, 1), repeat=5) if any(rest)])
    spreads = np.stack([clusters.log_spread(points, np.tile(cut, (500, 1))) for cut in cuts])
    assert (clusters.adjusted_rand(clusters.two_means(points), cuts[spreads.argmin(0)]) == 1).all()


def test_two_means_of_points_on_a_line(rng):
    line = np.array([0.0, 1, 2, 10, 11, 12, 13])
    for direction in ([1.0, 0.0], [0.0, 1.0], [0.6, -0.8]):
        found = clusters.two_means((line[:, None] * direction)[None])[0]
        assert adjusted_rand_score(line > 5, found) == 1


def test_silhouettes_and_rand_indices_are_those_of_scikit_learn(rng):
    points = rng.standard_normal((30, 12, 3))
    labels, other = rng.integers(0, 4, (2, 30, 12))
    labels[0, :] = [0] * 11 + [1]  # a cluster of one
    ours = clusters.silhouettes(points, labels)
    agreement = clusters.adjusted_rand(labels, other)
    for n in range(30):
        assert ours[n] == pytest.approx(silhouette_score(points[n], labels[n]))
        assert agreement[n] == pytest.approx(adjusted_rand_score(labels[n], other[n]))


def test_one_cluster_has_no_silhouette_and_agrees_with_itself(rng):
    labels = np.zeros((1, 6), int)
    assert np.isnan(clusters.silhouettes(rng.standard_normal((1, 6, 2)), labels)).all()
    assert clusters.adjusted_rand(labels, labels) == 1


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_number_of_planted_clusters_is_chosen(rng, k):
    centres = 12 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[:k]
    points = np.repeat(centres, 8, axis=0) + rng.standard_normal((1, 8 * k, 2))
    by_silhouette, by_gap = clusters.choose_n_clusters(points, rng)
    assert (by_silhouette[0], by_gap[0]) == (k, k)


def test_one_cloud_of_points_is_one_cluster_by_the_gap(rng):
    _, by_gap = clusters.choose_n_clusters(rng.uniform(size=(20, 24, 2)), rng)
    assert (by_gap == 1).mean() >= 0.9


# --- modules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "low", [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0]]
)
def test_planted_modules_are_found(rng, low):
    low = np.array(low, bool)
    found = find(*planted(low, rng), rng)
    assert (found.low == low).all()
    assert (found.course_low == low).all()
    assert (found.steps["n_clusters_silhouette"] == 2).all()
    assert (found.steps["n_clusters_gap"] == 2).mean() > 0.8
    assert (found.summary["n_clusters_silhouette"], found.summary["stable_step"]) == (2, STEPS[0])
    assert (found.steps["n_low"] == 5).all()
    assert (found.steps["n_blocks"] == 1 + (np.diff(low) != 0).sum()).all()
    assert (found.steps["r"] > 0.8).all()


def test_modules_that_are_low_in_one_measure_only_show_it(rng):
    entropy, curvature = planted(np.arange(12) < 5, rng)
    found = find(entropy, -curvature, rng)
    assert (found.steps["entropy"] * found.steps["curvature"] < 0).all()
    assert (found.steps["r"] < -0.8).all()
    both = find(entropy, curvature, rng)
    assert (both.steps[["entropy", "curvature"]] < -1).all(axis=None)


def test_planted_modules_are_more_than_smooth_profiles_show(rng):
    found = find(*planted(np.arange(16) < 7, rng), rng)
    for statistic in ("ari_previous", "ari_final", "silhouette"):
        assert p_of(found, "smooth", statistic) <= 0.02
    assert p_of(found, "unrelated", "r") <= 0.02


def test_modules_that_form_late_are_stable_from_then_on(rng):
    low = np.array([rng.permutation(12) < 6 for _ in STEPS])
    low[5:] = np.arange(12) < 6
    found = find(*planted(low, rng), rng)
    assert found.summary["stable_step"] == STEPS[5]
    assert (found.steps["ari_final"][5:] == 1).all()
    assert np.isnan(found.steps["ari_previous"][0])
    assert found.steps["ari_previous"][6] == 1
    assert (found.course_low == (np.arange(12) < 6)).mean() > 0.7


@pytest.mark.parametrize(
    ("ari", "expected"),
    [
        ([0.9, 0.8, 1.0, 1.0], 1),
        ([0.9, 0.1, 0.85, 1.0], 4),
        ([0.9, 0.9, 0.79, 1.0], np.inf),
    ],
)
def test_the_stable_step_is_the_first_after_the_last_change(ari, expected):
    assert modules.stable_step(np.array(ari), np.array([1, 2, 4, 8])) == expected


def smooth(
    rng, n_steps: int, n_layers: int, measures: int = 2, kept: float = 0.9, rho: float = 0.9
) -> np.ndarray:
    """Draw smooth profiles without modules, step by step (measures x steps x layers)."""

    def profile():
        values = rng.standard_normal((measures, n_layers))
        for layer in range(1, n_layers):
            values[:, layer] *= np.sqrt(1 - rho**2)
            values[:, layer] += rho * values[:, layer - 1]
        return values

    profiles = [profile()]
    for _ in range(n_steps - 1):
        profiles.append(kept * profiles[-1] + np.sqrt(1 - kept**2) * profile())
    return np.stack(profiles, axis=1)


def test_smooth_profiles_look_like_stable_modules_to_the_label_shuffle_only(rng):
    p = {"shuffle": [], "smooth": []}
    for _ in range(40):
        points = modules.standard_points(*smooth(rng, len(STEPS), 12))
        rows = modules.against_nulls(points, clusters.two_means(points), 39, rng)
        found = {(row["null"], row["statistic"]): row["p"] for row in rows}
        for null, values in p.items():
            values.append(found[(null, "ari_previous")])
    assert np.mean(np.array(p["shuffle"]) <= 0.05) > 0.8
    assert np.sum(np.array(p["smooth"]) <= 0.05) <= 6  # 2 expected


def test_a_profile_that_falls_steadily_makes_two_stable_blocks_as_any_would(rng):
    line = np.tile(np.linspace(3.0, 1.0, 16), (len(STEPS), 1))
    found = find(line, 100 * line, rng)
    assert (found.steps["n_blocks"] == 2).all()
    assert found.summary["stable_step"] == STEPS[0]
    assert p_of(found, "shuffle", "ari_final") == 0.01
    assert p_of(found, "smooth", "ari_final") == 1
    assert p_of(found, "smooth", "silhouette") > 0.2


def test_drawn_profiles_are_as_smooth_as_slow_and_as_related_as_the_given_ones(rng):
    entropy, noise = smooth(rng, len(STEPS), 20, rho=0.7)
    points = modules.standard_points(entropy, 0.7 * entropy + 0.7 * noise)
    drawn = modules.smooth_profiles(points, 2000, rng)
    for measure in range(2):
        given, ours = points[..., measure], drawn[..., measure]
        assert np.mean(ours[..., 1:] * ours[..., :-1]) == pytest.approx(
            np.mean(given[:, 1:] * given[:, :-1]), abs=0.02
        )
        np.testing.assert_allclose(
            (ours[:, 1:] * ours[:, :-1]).mean(axis=(0, 2)),
            (given[1:] * given[:-1]).mean(axis=1),
            atol=0.05,
        )
    assert drawn.prod(-1).mean() == pytest.approx(points.prod(-1).mean(), abs=0.05)


def test_the_same_seed_gives_the_same_modules_and_nulls():
    values = smooth(np.random.default_rng(3), len(STEPS), 10)
    one, other = (find(*values, np.random.default_rng(5)) for _ in range(2))
    assert one.nulls.equals(other.nulls)
    assert one.steps.equals(other.steps)


@pytest.mark.parametrize(("n_steps", "n_layers"), [(1, 12), (8, 3)])
def test_too_little_to_cluster_is_refused(rng, n_steps, n_layers):
    values = rng.standard_normal((n_steps, n_layers))
    with pytest.raises(InputError, match=f"found {n_steps} and {n_layers}"):
        modules.find_modules(values, values, np.arange(n_steps), rng)


def test_a_layer_without_a_value_is_named(rng):
    values = rng.standard_normal((8, 12))
    values[3, 7] = np.nan
    with pytest.raises(InputError, match=r"step number 3, layer number 7"):
        find(values, rng.standard_normal((8, 12)), rng)


# --- modules and scores ---------------------------------------------------------------------------


def test_the_contrast_is_the_difference_of_the_modules_means():
    scores = np.array([[0.1, 0.2, 0.3, 0.6], [1.0, 1.0, 0.0, 0.0]])
    low = np.array([True, True, False, False])
    np.testing.assert_allclose(modules.module_contrast(scores, low), [0.15 - 0.45, 1.0])
    assert np.isnan(modules.module_contrast(scores[0], np.ones(4, bool)))


def all_layouts(low: np.ndarray) -> set[tuple[bool, ...]]:
    """List every layout of the same sizes and numbers of stretches by trying all."""
    wanted = (low.sum(), modules.stretches(low))
    tried = (np.array(each) for each in product((False, True), repeat=len(low)))
    return {tuple(each) for each in tried if (each.sum(), modules.stretches(each)) == wanted}


@pytest.mark.parametrize("low", ["110", "1001", "11001100", "1011001000", "0111011001"])
def test_arrangements_are_counted_right(low):
    low = np.array([letter == "1" for letter in low])
    assert modules.count_arrangements(low) == len(all_layouts(low))


@pytest.mark.parametrize("low", ["1100111000110", "11001110001100"])
def test_drawn_arrangements_are_all_layouts_and_equally_likely(rng, low):
    low = np.array([letter == "1" for letter in low])
    expected = all_layouts(low)
    assert len(expected) == modules.count_arrangements(low) >= 100
    drawn, counts = np.unique(
        modules.arrangements(low, 200 * len(expected), rng), axis=0, return_counts=True
    )
    assert set(map(tuple, drawn)) == expected
    assert 120 < counts.min() <= counts.max() < 290  # Poisson with mean 200


def test_two_blocks_are_not_testable(rng):
    assert modules.arrangements(np.arange(24) < 10, 100, rng) is None
    assert modules.arrangements(np.ones(24, bool), 100, rng) is None


def test_scores_that_follow_the_modules_have_a_small_p_and_smooth_ones_do_not(rng):
    low = np.isin(np.arange(24) // 6, [0, 2])
    layouts = modules.arrangements(low, 999, rng)
    assert layouts is not None
    scores = low + 0.3 * rng.standard_normal((5, 24))
    assert (modules.contrast_p(scores, low, layouts) <= 0.02).all()
    assert (modules.contrast_p(-scores, low, layouts) <= 0.02).all()
    unrelated = smooth(rng, 1, 24, measures=400)[:, 0]
    assert np.mean(modules.contrast_p(unrelated, low, layouts) <= 0.05) < 0.1
