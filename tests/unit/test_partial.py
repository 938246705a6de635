"""Partial correlation of autocorrelated grids: closed forms, another solver, calibration."""

import numpy as np
import pytest
from scipy.linalg import lstsq

from lmcortex.statistics.partial import (
    AUTOCORRELATIONS,
    CONTROLS,
    Partial,
    autoregression,
    control_columns,
    layer_bootstrap,
    matched_test,
    mirrored_shifts,
    shift_p,
)

N_LAYERS, N_STEPS = 6, 10
DEPTH = np.arange(1, N_LAYERS + 1) / N_LAYERS
STEPS = np.geomspace(1, 143000, N_STEPS)
TREND = np.log10(STEPS)


def partial(control: str) -> Partial:
    return Partial((N_LAYERS, N_STEPS), control_columns(control, DEPTH, STEPS))


def smooth(rho: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a grid that is autocorrelated along layers and along steps."""
    layers, steps = (
        np.linalg.cholesky(autoregression(n, rho) + 1e-9 * np.eye(n)) for n in (N_LAYERS, N_STEPS)
    )
    return layers @ rng.standard_normal((N_LAYERS, N_STEPS)) @ steps.T


@pytest.mark.parametrize("control", CONTROLS)
def test_a_partial_correlation_is_that_of_regression_residuals(control: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, N_LAYERS, N_STEPS))
    columns = control_columns(control, DEPTH, STEPS)
    left = [grid.ravel() - columns @ lstsq(columns, grid.ravel())[0] for grid in (x, y)]
    expected = np.corrcoef(left[0], left[1])[0, 1]
    assert partial(control).correlate(x, y) == pytest.approx(expected, abs=1e-10)


def test_what_a_control_explains_wholly_has_no_correlation() -> None:
    x = np.tile(TREND, (N_LAYERS, 1))
    y = np.random.default_rng(0).standard_normal(x.shape)
    assert np.isnan(partial("log step").correlate(x, y))
    assert np.isnan(matched_test(partial("steps"), x, y).p)


def test_a_common_trend_of_training_is_taken_out() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, N_LAYERS, N_STEPS)) + 5 * TREND
    assert partial("none").correlate(x, y) > 0.9
    assert abs(partial("log step").correlate(x, y)) < 0.3


def test_a_training_curve_that_is_no_line_needs_a_column_for_each_step() -> None:
    rng = np.random.default_rng(1)
    bump = 5 * np.exp(-((TREND - 2) ** 2))
    x, y = rng.standard_normal((2, N_LAYERS, N_STEPS)) + bump
    assert partial("log step").correlate(x, y) > 0.5
    assert abs(partial("steps").correlate(x, y)) < 0.3


@pytest.mark.parametrize("control", CONTROLS)
def test_the_null_has_the_covariances_of_the_residuals(control: str) -> None:
    kept = np.eye(N_LAYERS * N_STEPS) - partial(control).basis @ partial(control).basis.T
    pairs = [(rho, tau) for rho in AUTOCORRELATIONS for tau in AUTOCORRELATIONS]
    chosen = [3, 40, 118]
    covariances = []
    for rho, tau in (pairs[place] for place in chosen):
        cells = np.kron(autoregression(N_LAYERS, rho), autoregression(N_STEPS, tau))
        covariances.append(kept @ cells @ kept / np.trace(kept @ cells))
    null = partial(control).null
    variances = [[np.sum(one * other) for other in covariances] for one in covariances]
    np.testing.assert_allclose(null.variances[np.ix_(chosen, chosen)], variances, rtol=1e-6)
    grids = [each.reshape([N_LAYERS, N_STEPS] * 2) for each in covariances]
    lagged = [
        [
            sum(grid[i, j, i + 1, j] for i in range(N_LAYERS - 1) for j in range(N_STEPS)),
            sum(grid[i, j, i, j + 1] for i in range(N_LAYERS) for j in range(N_STEPS - 1)),
        ]
        for grid in grids
    ]
    np.testing.assert_allclose(null.expected[chosen], lagged, atol=1e-9)


def test_independent_cells_count_for_themselves() -> None:
    rng = np.random.default_rng(2)
    counts = [
        matched_test(partial("none"), *rng.standard_normal((2, N_LAYERS, N_STEPS))).n_effective
        for _ in range(50)
    ]
    assert np.median(counts) == pytest.approx(N_LAYERS * N_STEPS, rel=0.1)


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_unrelated_grids_are_seldom_found_related(rho: float) -> None:
    rng = np.random.default_rng(3)
    shared = partial("log step")
    p = [matched_test(shared, smooth(rho, rng), smooth(rho, rng) + TREND).p for _ in range(200)]
    assert np.sum(np.array(p) <= 0.05) <= 15


def test_a_planted_relation_lies_in_its_interval() -> None:
    rng = np.random.default_rng(4)
    shared, slope = partial("log step"), -0.7
    planted, inside = slope / np.hypot(1, slope), []
    for _ in range(200):
        x = smooth(0.8, rng)
        found = matched_test(shared, x, slope * x + smooth(0.8, rng) + TREND)
        inside.append(found.ci_low <= planted <= found.ci_high)
    assert 0.90 <= np.mean(inside) <= 0.985


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_unrelated_grids_are_seldom_found_related_by_shifts(rho: float) -> None:
    rng = np.random.default_rng(5)
    p = [shift_p(partial("none"), smooth(rho, rng), smooth(rho, rng)) for _ in range(200)]
    assert np.sum(np.array(p) <= 0.05) <= 15
    assert np.min(p) >= 1 / 240  # the grid is among its 240 shifts


def test_a_shifted_grid_keeps_its_neighbours() -> None:
    grid = np.arange(60.0).reshape(6, 10)
    shifts = np.concatenate(list(mirrored_shifts(grid)), axis=1)
    assert shifts.shape == (60, 240)
    np.testing.assert_array_equal(shifts[:, 0], grid.ravel())
    for shift in shifts.T.reshape(-1, 6, 10):
        assert np.abs(np.diff(shift, axis=0)).max() <= 10
        assert np.abs(np.diff(shift, axis=1)).max() <= 1


def test_a_bootstrap_of_layers_is_one_of_their_rows() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((2, N_LAYERS, N_STEPS))
    shared = partial("log step, depth")
    draws = layer_bootstrap(shared, x, y, 20, np.random.default_rng(7))
    counts = np.random.default_rng(7).multinomial(N_LAYERS, np.full(N_LAYERS, 1 / 6), size=20)
    for draw, count in zip(draws, counts, strict=True):
        rows = np.repeat(np.arange(N_LAYERS), count)
        columns = shared.columns.reshape(N_LAYERS, N_STEPS, -1)[rows].reshape(-1, 4)
        again = Partial((N_LAYERS, N_STEPS), columns)
        assert draw == pytest.approx(again.correlate(x[rows], y[rows]), abs=1e-8)
