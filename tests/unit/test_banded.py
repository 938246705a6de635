import numpy as np
import pandas as pd
import pytest

from lmcortex.encoding.banded import fit_banded
from lmcortex.encoding.ridge import Penalties, fit_layer
from lmcortex.encoding.rotations import stimulus_of
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


def banded(model, nuisances, values, folds):
    kernels = model @ model.T, [nuisance @ nuisance.T for nuisance in nuisances]
    batches = [(slice(0, 3), values[:, :3]), (slice(3, values.shape[1]), values[:, 3:])]
    found = [fit for _, fit in fit_banded(*kernels, lambda: iter(batches), folds, GRID)]
    return type(found[0])(*(np.concatenate(part, axis=1) for part in zip(*found, strict=True)))


def test_what_is_known_is_the_ridge_of_the_nuisance_alone(rng, folds):
    nuisance = rng.standard_normal((N, 4))
    values = nuisance @ rng.standard_normal((4, 8)) + rng.standard_normal((N, 8))
    found = banded(rng.standard_normal((N, 30)), [nuisance], values, folds)
    alone = fit_layer(
        stimulus_of([nuisance], N, "cpu"),
        lambda: iter([(slice(8), values)]),
        folds,
        Penalties(GRID),
    )
    [(_, expected)] = alone
    assert np.abs(found.known - expected.prediction).max() < 1e-8


def test_bands_together_are_plain_ridge_on_scaled_columns(rng, folds):
    """All mixtures and penalties, one by one, with scikit-learn."""
    from sklearn.linear_model import Ridge

    model, rate, slow = (rng.standard_normal((N, width)) for width in (40, 1, 3))
    values = model[:, :2].sum(1, keepdims=True) * rng.uniform(0, 1, 6) + 2 * rate
    values = values + 2 * rng.standard_normal((N, 6))
    found = banded(model, [rate, slow], values, folds)
    bands = [band / np.sqrt((band**2).sum(1).mean()) for band in (model, rate, slow)]
    sets = np.array([(1, 0), (0, 1), (0.5, 0.5)])
    weights = [(s, *(1 - s) * kept) for s in (0, 0.01, 0.1, 0.5, 0.9, 1) for kept in sets]
    scaled = [np.hstack([w**0.5 * b for w, b in zip(mix, bands, strict=True)]) for mix in weights]
    train, test = folds.outer(0)

    def predict(columns, alpha, fitted, held):
        ridge = Ridge(alpha=alpha).fit(columns[train][fitted], values[train][fitted])
        return ridge.predict(held)

    def loss(columns, alpha):
        errors = [
            values[train][held] - predict(columns, alpha, fitted, columns[train][held])
            for fitted, held in folds.inner(0)
        ]
        return np.mean([(error**2).mean(0) for error in errors], axis=0)

    settings = [(columns, alpha) for columns in scaled for alpha in GRID]
    best = np.argmin([loss(*setting) for setting in settings], axis=0)
    for target, (columns, alpha) in enumerate(settings[place] for place in best):
        expected = predict(columns, alpha, slice(None), columns[test])[:, target]
        assert np.abs(found.prediction[test, target] - expected).max() < 1e-6


def test_a_model_of_noise_adds_nothing_to_a_nuisance(rng, folds):
    nuisance = rng.standard_normal((N, 4))
    values = nuisance @ rng.standard_normal((4, 40)) + rng.standard_normal((N, 40))
    found = banded(rng.standard_normal((N, 30)), [nuisance], values, folds)
    assert abs(found.r_test.mean()) < 0.02


def test_a_nuisance_adds_nothing_to_itself(rng, folds):
    nuisance = rng.standard_normal((N, 4))
    values = nuisance @ rng.standard_normal((4, 40)) + rng.standard_normal((N, 40))
    assert np.abs(banded(nuisance, [nuisance], values, folds).r_test).max() < 1e-6


def test_part_of_a_nuisance_adds_nothing_to_it(rng, folds):
    nuisance = rng.standard_normal((N, 4))
    values = nuisance @ rng.standard_normal((4, 40)) + rng.standard_normal((N, 40))
    assert abs(banded(nuisance[:, :1], [nuisance], values, folds).r_test.mean()) < 0.005


def test_a_useless_nuisance_costs_a_useful_one_nothing(rng, folds):
    """Else the useful one would add to both of them."""
    useful, useless = rng.standard_normal((N, 1)), rng.standard_normal((N, 60))
    values = useful + rng.standard_normal((N, 40))
    assert abs(banded(useful, [useful, useless], values, folds).r_test.mean()) < 0.005


def test_features_without_columns_add_nothing(rng, folds):
    nuisance, values = rng.standard_normal((N, 4)), rng.standard_normal((N, 5))
    found = banded(np.empty((N, 0)), [nuisance], values, folds)
    assert (found.prediction == found.known).all() and (found.r_test == 0).all()


def test_the_gain_is_what_a_model_explains_of_its_own(rng, folds):
    nuisance, model = rng.standard_normal((N, 4)), rng.standard_normal((N, 10))
    known = nuisance @ rng.standard_normal((4, 40)) / 2
    added = model @ rng.standard_normal((10, 40)) / np.sqrt(10)
    noise = rng.standard_normal((N, 40))
    found = banded(model, [nuisance], known + added + noise, folds)
    # With perfect encoders r are these standard deviations over that of the sum.
    total = (known + added + noise).std(0)
    expected = (known + added).std(0) / total - known.std(0) / total
    assert found.r_test.mean() == pytest.approx(expected.mean(), abs=0.05)
