import numpy as np
import pandas as pd
import pytest

from lmcortex.encoding.banded import SHARES, fit_banded
from lmcortex.folds import make_folds

GRID = np.logspace(-3, 5, 17)
N = 150


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def folds():
    items = pd.DataFrame(
        {"item": np.arange(N).astype(str), "run": "1", "time": np.arange(float(N))}
    )
    return make_folds({"scheme": "blocks", "n": 4}, items)


def banded(model, nuisance, values, folds, shares=SHARES):
    kernels = model @ model.T, nuisance @ nuisance.T
    batches = [(slice(0, 3), values[:, :3]), (slice(3, values.shape[1]), values[:, 3:])]
    return fit_banded(*kernels, lambda: iter(batches), values.shape[1], folds, GRID, shares=shares)


def test_the_two_bands_are_those_of_himalaya(rng, folds):
    """Its random search over the same shares and penalties; both parts of its predictions."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import (
        predict_weighted_kernel_ridge,
        solve_multiple_kernel_ridge_random_search,
    )

    set_backend("numpy")
    model, nuisance = rng.standard_normal((N, 40)), rng.standard_normal((N, 3))
    values = model[:, :2].sum(1, keepdims=True) * rng.uniform(0, 1, 8) + 2 * nuisance[:, :1]
    values = values + 2 * rng.standard_normal((N, 8))
    shares = (0.1, 0.5, 0.9)
    found = banded(model, nuisance, values, folds, shares)
    kernels = np.stack([model @ model.T, nuisance @ nuisance.T])
    kernels /= np.trace(kernels, axis1=1, axis2=2)[:, None, None] / N
    for fold in range(folds.n):
        train, test = folds.outer(fold)
        # Centred as every training set is by the solver, but for the intercept that it adds.
        fitted = kernels[:, train][:, :, train]
        deltas, weights, _, intercept = solve_multiple_kernel_ridge_random_search(
            fitted,
            values[train],
            n_iter=np.array([[share, 1 - share] for share in shares]),
            alphas=GRID,
            cv=folds.inner(fold),
            fit_intercept=True,
            return_weights="dual",
            progress_bar=False,
        )
        across = kernels[:, test][:, :, train]
        both = predict_weighted_kernel_ridge(across, weights, deltas) + intercept
        ours = found.prediction[test] + (values[test] - found.response[test])
        assert np.abs(both - ours).max() < 1e-5


def test_a_model_of_noise_adds_nothing_to_a_nuisance(rng, folds):
    nuisance = rng.standard_normal((N, 4))
    values = nuisance @ rng.standard_normal((4, 40)) + rng.standard_normal((N, 40))
    found = banded(rng.standard_normal((N, 30)), nuisance, values, folds)
    assert abs(found.r_test.mean()) < 0.05


def test_features_without_columns_add_nothing(rng, folds):
    nuisance, values = rng.standard_normal((N, 4)), rng.standard_normal((N, 5))
    found = banded(np.empty((N, 0)), nuisance, values, folds, shares=(0.0,))
    assert (found.prediction == 0).all() and (found.r_test == 0).all()


def test_what_a_model_adds_to_a_stronger_nuisance_is_found(rng, folds):
    nuisance, model = rng.standard_normal((N, 4)), rng.standard_normal((N, 10))
    added = model @ rng.standard_normal((10, 40)) / np.sqrt(10)
    values = 5 * nuisance @ rng.standard_normal((4, 40)) + added + rng.standard_normal((N, 40))
    found = banded(model, nuisance, values, folds)
    # Half of what the nuisance leaves is the model's: a perfect encoder reaches r = .71.
    assert 0.55 < found.r_test.mean() < 0.72
