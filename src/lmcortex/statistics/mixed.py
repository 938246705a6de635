"""A mixed model of scores on the geometry of layers, with errors for autocorrelated cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lmcortex.inference import LEVEL
from lmcortex.statistics.partial import Partial, Test, control_columns


@dataclass(frozen=True)
class Mixed:
    """A score on measures and log step, with an intercept for each layer at random.

    Such a model takes cells for independent; `tests/calibration.py` shows that it then rejects far
    too often. So standard errors and degrees of freedom are those of the number of cells that the
    grids are worth: counted as `partial.matched_test` does, with log step and the other measures
    taken out, with and without a mean for each layer, the lower number of the two.

    Attributes
    ----------
    measures : grids (n_layers, n_steps).
    steps : (n_steps,), above 0.
    """

    measures: Sequence[np.ndarray]
    steps: np.ndarray

    @cached_property
    def columns(self) -> np.ndarray:
        """(n_cells, 2 + measures): intercept, measures and log step, z-scored."""
        n_layers = len(self.measures[0])
        step = np.tile(np.log10(self.steps), (n_layers, 1))
        scaled = [z_score(grid).ravel() for grid in (*self.measures, step)]
        return np.column_stack([np.ones(scaled[0].size), *scaled])

    @cached_property
    def partials(self) -> list[list[Partial]]:
        """For each measure, what else is taken out, without and with a mean for each layer."""
        shape = self.measures[0].shape
        controls = [
            control_columns(name, np.zeros(shape[0]), self.steps)
            for name in ("log step", "layers, log step")
        ]
        places = range(1, 1 + len(self.measures))
        others = [self.columns[:, [other for other in places if other != own]] for own in places]
        return [
            [Partial(shape, np.column_stack([control, beside])) for control in controls]
            for beside in others
        ]

    def fit(self, score: np.ndarray) -> list[Test]:
        """Return a test of each measure: its coefficient, of z-scores, by REML (statsmodels).

        Parameters
        ----------
        score : (n_layers, n_steps), not constant.
        """
        import warnings

        from scipy.stats import t
        from statsmodels.regression.mixed_linear_model import MixedLM
        from statsmodels.tools.sm_exceptions import ConvergenceWarning

        layer = np.repeat(np.arange(len(score)), len(self.steps))
        with warnings.catch_warnings():
            # An intercept that does not vary over layers lies at the edge of what is allowed.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            fitted: Any = MixedLM(z_score(score).ravel(), self.columns, layer).fit(
                reml=True, method="powell"
            )
        errors = self.errors(float(fitted.cov_re[0, 0]), float(fitted.scale))
        tests = []
        left = score.size - self.columns.shape[1]
        for place, (grid, partials) in enumerate(zip(self.measures, self.partials, strict=True), 1):
            n = min(partial.effective_cells(grid, score) for partial in partials)
            freedom = max(n - 2, 1.0)
            estimate = float(fitted.fe_params[place])
            error = errors[place] * np.sqrt(left / freedom)
            reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
            p = 2 * float(t.sf(abs(estimate) / error, freedom))
            tests.append(Test(estimate, p, estimate - reach, estimate + reach, n))
        return tests

    def errors(self, between: float, within: float) -> np.ndarray:
        """Return the standard errors of the columns' coefficients, for given variances.

        By generalised least squares. What statsmodels derives from the curvature of the likelihood
        is not defined where intercepts do not vary over layers.

        Parameters
        ----------
        between, within : variances of the layers' intercepts and of cells about them.
        """
        by_layer = self.columns.reshape(len(self.measures[0]), len(self.steps), -1).sum(axis=1)
        shrunk = between / (within + len(self.steps) * between)
        information = self.columns.T @ self.columns - shrunk * by_layer.T @ by_layer
        return np.sqrt(within * np.diag(np.linalg.inv(information)))


def z_score(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()
