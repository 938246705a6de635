"""The mixed model: errors of an independent library, and the cells that grids are worth."""

import numpy as np
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from lmcortex.statistics.mixed import Mixed, z_score
from lmcortex.statistics.partial import autoregression

SHAPE = (8, 12)
STEPS = np.geomspace(1, 1000, SHAPE[1])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def cells(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(SHAPE)


def test_errors_are_those_of_statsmodels(rng) -> None:
    x, other = cells(rng), cells(rng)
    score = 0.5 * x + rng.standard_normal((SHAPE[0], 1)) + cells(rng)
    model = Mixed([x, other], STEPS)
    layer = np.repeat(np.arange(SHAPE[0]), SHAPE[1])
    fitted = MixedLM(z_score(score).ravel(), model.columns, layer).fit(reml=True)
    found = model.errors(float(fitted.cov_re[0, 0]), float(fitted.scale))
    assert found == pytest.approx(fitted.bse_fe, rel=1e-2)
    assert model.fit(score)[0].r == pytest.approx(fitted.fe_params[1], abs=1e-3)


def test_independent_cells_count_nearly_all(rng) -> None:
    x, other = cells(rng), cells(rng)
    found = Mixed([x, other], STEPS).fit(0.5 * x + cells(rng))
    assert 0.6 * x.size < found[0].n_effective <= x.size
    assert found[0].ci_low > 0 and found[0].p < 0.01
    assert found[1].ci_low < 0 < found[1].ci_high


def test_cells_that_resemble_each_other_count_less(rng) -> None:
    factors = [np.linalg.cholesky(autoregression(n, 0.9)) for n in SHAPE]
    x, other, noise = (factors[0] @ cells(rng) @ factors[1].T for _ in range(3))
    found = Mixed([x, other], STEPS).fit(x + 0.5 * noise)[0]
    assert found.n_effective < x.size / 3
    assert found.ci_low < found.r < found.ci_high
