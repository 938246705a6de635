import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lmcortex import inference

FOLDS = np.repeat([0, 1, 2], 20)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_blocks_never_cross_a_change_of_group():
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    assert inference.label_blocks(groups, 2).tolist() == [0, 0, 1, 1, 2, 3, 3, 4]


def test_a_resample_draws_one_block_fewer_than_each_fold_has_and_whole_ones(rng):
    blocks = inference.label_blocks(FOLDS, 5)
    weights = inference.resampling_weights(FOLDS, blocks, 50, rng)
    for fold in range(3):
        assert (weights[:, fold == FOLDS].sum(axis=1) == 20 - 5).all()
    assert (weights.reshape(50, -1, 5) == weights[:, ::5, None]).all()


@pytest.mark.parametrize("n_blocks", [3, 8])
def test_resamples_spread_as_the_mean_of_a_fold_does(rng, n_blocks):
    """Without bias, however few blocks there are: the variance of a mean is s^2 / B."""
    folds = np.zeros(n_blocks, dtype=int)
    weights = inference.resampling_weights(folds, np.arange(n_blocks), 20_000, rng)
    values = rng.standard_normal(n_blocks)
    drawn = weights @ values / weights.sum(axis=1)
    assert drawn.var() == pytest.approx(values.var(ddof=1) / n_blocks, rel=0.05)


@pytest.mark.parametrize("n", [4, 12])
def test_percentiles_of_widened_draws_of_few_subjects_hold_their_mean(rng, n):
    """Without widening they hold it in 80 % of samples of 4, and 91 % of 12."""
    held = []
    for _ in range(1500):
        values = rng.standard_normal(n)
        draws = values[rng.integers(n, size=(400, n))].mean(axis=1)
        low, high = inference.interval(inference.widen(draws, inference.few_subjects(n)))
        held.append(low <= 0 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_a_permutation_moves_whole_blocks_within_their_fold(rng):
    blocks = inference.label_blocks(FOLDS, 5)
    for order in inference.block_permutations(FOLDS, blocks, 20, rng):
        assert sorted(order) == list(range(60))
        assert (FOLDS[order] == FOLDS).all()
        assert (np.diff(order.reshape(-1, 5), axis=1) == 1).all()


def test_resampled_correlations_are_those_of_the_repeated_samples(rng):
    y, p = rng.standard_normal((2, 60, 4))
    weights = inference.resampling_weights(FOLDS, np.arange(60), 5, rng)
    found = inference.resampled_correlations(y, p[None], FOLDS, weights)[0]
    for draw, row in zip(weights.astype(int), found, strict=True):
        for target in range(4):
            by_fold = [
                np.corrcoef(*(np.repeat(v[f == FOLDS, target], draw[f == FOLDS]) for v in (y, p)))
                for f in range(3)
            ]
            assert row[target] == pytest.approx(np.mean([r[0, 1] for r in by_fold]))


def test_permuted_correlations_are_those_of_the_permuted_responses(rng):
    y, p = rng.standard_normal((2, 60, 2))
    orders = inference.block_permutations(FOLDS, np.arange(60), 3, rng)
    found = inference.permuted_correlations(y, p, FOLDS, orders)
    for order, row in zip(orders, found, strict=True):
        expected = [inference.correlate(y[order][f == FOLDS], p[f == FOLDS]) for f in range(3)]
        assert row == pytest.approx(np.mean(expected, axis=0))


def test_permuted_gains_are_those_of_permuted_residuals(rng):
    y, p, k = rng.standard_normal((3, 60, 2))
    y, p = y + k, p + k
    orders = inference.block_permutations(FOLDS, np.arange(60), 3, rng)
    found = inference.permuted_gains(y, p, k, FOLDS, orders)
    for order, row in zip(orders, found, strict=True):
        for target in range(2):
            gains = []
            for f in range(3):
                here = f == FOLDS
                line = stats.linregress(k[here, target], y[here, target])
                fitted = line.intercept + line.slope * k[:, target]
                moved = (fitted + (y[:, target] - fitted)[order])[here]
                r = [np.corrcoef(moved, v[here, target])[0, 1] for v in (p, k)]
                gains.append(r[0] - r[1])
            assert row[target] == pytest.approx(np.mean(gains))


def test_the_correlation_with_a_constant_is_zero(rng):
    y = rng.standard_normal((20, 1))
    assert inference.correlate(y, np.full((20, 1), 0.1)) == 0.0


def test_few_values_are_sign_flipped_exactly_as_scipy_does(rng):
    values = rng.normal(0.4, 1, 8)
    for two_sided, alternative in ((False, "greater"), (True, "two-sided")):
        expected = stats.permutation_test(
            (values,),
            np.mean,
            permutation_type="samples",
            alternative=alternative,
            n_resamples=np.inf,
        )
        found = inference.sign_flip_p(values, 1000, rng, two_sided=two_sided)
        assert found == pytest.approx(expected.pvalue)


def test_q_equals_that_of_statsmodels_and_skips_nan(rng):
    p = rng.random(30) ** 2
    expected = multipletests(p, method="fdr_bh")[1]
    assert inference.benjamini_hochberg(p) == pytest.approx(expected)
    with_gaps = inference.benjamini_hochberg(np.insert(p, [0, 7], np.nan))
    assert np.delete(with_gaps, [0, 8]) == pytest.approx(expected)
    assert np.isnan(with_gaps[[0, 8]]).all()


def autocorrelated(rng: np.random.Generator, n: int, columns: int, rho: float) -> np.ndarray:
    noise = rng.standard_normal((n, columns))
    for i in range(1, n):
        noise[i] += rho * noise[i - 1]
    return noise


def test_five_percent_of_unrelated_predictions_have_p_below_five_percent(rng):
    """Block permutation on autocorrelated series, where single samples would give far too many."""
    folds = np.repeat(np.arange(5), 60)
    y, p = (autocorrelated(rng, 300, 600, 0.7) for _ in range(2))
    observed = np.mean([inference.correlate(y[folds == f], p[folds == f]) for f in range(5)], 0)
    rates = {}
    for size in (1, 10):
        blocks = inference.label_blocks(folds, size)
        orders = inference.block_permutations(folds, blocks, 199, rng)
        null = inference.permuted_correlations(y, p, folds, orders)
        rates[size] = np.mean((np.sum(null >= observed, axis=0) + 1) / 200 <= 0.05)
    assert rates[10] == pytest.approx(0.05, abs=0.03)
    assert rates[1] > 0.1


def test_the_interval_holds_the_true_correlation_95_percent_of_the_time(rng):
    truth, covered = 0.3, 0
    folds = np.repeat(np.arange(5), 60)
    for _ in range(300):
        x = rng.standard_normal((300, 1))
        y = truth * x + np.sqrt(1 - truth**2) * rng.standard_normal((300, 1))
        weights = inference.resampling_weights(folds, np.arange(300), 200, rng)
        draws = inference.resampled_correlations(y, x[None], folds, weights)[0, :, 0]
        low, high = inference.interval(draws)
        covered += low <= truth <= high
    assert covered / 300 == pytest.approx(0.95, abs=0.035)


def test_the_interval_allows_draws_that_never_reach():
    assert inference.interval(np.r_[np.arange(90.0), np.full(10, np.inf)]) == (2.0, np.inf)
