"""Correlation of two layer-by-step grids, with what training and depth explain taken out.

Cells of such a grid are no independent observations: neighbouring layers and steps resemble each
other. The p value and interval of `matched_test` count how many independent cells the grid is
worth; `shift_p` is another test, and `layer_bootstrap` the usual interval beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lmcortex.inference import LEVEL

# What may be taken out, each with the one before it in strictness; docs/geometry.md says why.
CONTROLS = {
    "none": (),
    "log step": ("log step",),
    "log step, depth": ("log step", "depth"),
    "steps": ("steps",),
    "steps, depth": ("steps", "depth"),
    "layers, log step": ("layers", "log step"),
    "layers, steps": ("layers", "steps"),
}
# Lag-1 autocorrelations among which `Null` looks for the ones that fit the residuals.
AUTOCORRELATIONS = (0, 0.2, 0.4, 0.55, 0.7, 0.8, 0.87, 0.92, 0.95, 0.97, 0.985)
COLUMNS = 8  # of what is taken out, handled at once
# Of a grid, the cells that have a next layer and those next layers; the same for steps.
NEIGHBOURS = (
    ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
)


def control_columns(control: str, depth: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the columns that a control takes out, the intercept among them.

    Parameters
    ----------
    control : a name in `CONTROLS`. `log step` is log10(step), which needs steps above 0; `depth`
        is layer / n_layers and its square; `steps` and `layers` are one column for each.
    depth : (n_layers,).
    steps : (n_steps,), training steps.

    Returns
    -------
    (n_layers * n_steps, n_columns), cells in the order of a raveled (n_layers, n_steps) grid.
    """
    n_layers, n_steps = len(depth), len(steps)
    deep = np.repeat(depth, n_steps)
    columns = {
        "log step": np.tile(np.log10(steps), n_layers)[:, None],
        "depth": np.c_[deep, deep**2],
        "steps": np.tile(np.eye(n_steps), (n_layers, 1)),
        "layers": np.repeat(np.eye(n_layers), n_steps, axis=0),
    }
    names = CONTROLS[control]
    return np.column_stack([np.ones(n_layers * n_steps), *(columns[name] for name in names)])


def basis(columns: np.ndarray) -> np.ndarray:
    """Return orthonormal columns of the same span, which may have fewer of them."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, values > 1e-9 * values[0]]


@dataclass(frozen=True)
class Partial:
    """Grids of one shape and what is taken out of them.

    Attributes
    ----------
    shape : (n_layers, n_steps).
    columns : (n_layers * n_steps, n_columns), from `control_columns`, perhaps with a further grid.
    """

    shape: tuple[int, int]
    columns: np.ndarray

    @cached_property
    def basis(self) -> np.ndarray:
        return basis(self.columns)

    @cached_property
    def null(self) -> "Null":
        return Null(self.shape, self.basis)

    def residuals(self, values: np.ndarray) -> np.ndarray:
        """Take the columns out of (n_cells, ...) values; what they explain wholly becomes 0."""
        left = values - self.basis @ (self.basis.T @ values)
        explained = np.abs(left).max(axis=0) <= 1e-10 * np.abs(values).max(axis=0)
        return np.where(explained, 0.0, left)

    def effective_cells(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return how many independent cells two grids are worth, the columns taken out."""
        return self.null.effective_cells(self.residuals(x.ravel()), self.residuals(y.ravel()))

    def correlate(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the partial correlation of two grids; NaN where one is explained wholly."""
        return correlation(self.residuals(x.ravel()), self.residuals(y.ravel()))


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the correlation of two vectors of residuals, which have mean 0."""
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else np.nan


class Test(NamedTuple):
    """A correlation, or coefficient, its two-sided p, interval and the independent cells behind."""

    r: float
    p: float
    ci_low: float
    ci_high: float
    n_effective: float


class Null:
    """How residuals vary when two autocorrelated grids have nothing to do with each other.

    Each grid is taken for a first-order autoregression along layers and along steps. Taking columns
    out lowers the autocorrelation that the residuals show, so the one behind it is chosen as that
    whose expected residual autocorrelation comes nearest to the observed. The variance of the
    correlation between two such grids follows from their covariances, and with it the number of
    independent cells: Clifford, Richardson & Hémon 1989, Biometrics 45:123; Dutilleul 1993,
    Biometrics 49:305.
    """

    def __init__(self, shape: tuple[int, int], basis: np.ndarray) -> None:
        # With M = I - B B', residuals have the covariance M C M, where C is the Kronecker product
        # of an autoregression along layers and one along steps. Only C B is ever written out, some
        # columns of B at a time: C itself is too large for a model with many checkpoints.
        n_layers, n_steps = shape
        layers, steps = (
            np.stack([autoregression(n, rho) for rho in AUTOCORRELATIONS]) for n in shape
        )
        n_pairs, rank = len(layers) * len(steps), basis.shape[1]
        grids = basis.reshape(n_layers, n_steps, rank)
        inner = np.empty((n_pairs, rank, rank))  # B' C B
        products = np.zeros((n_pairs, n_pairs))  # tr(B' C D B) of any two covariances C, D
        shared = np.zeros((n_pairs, 2))  # tr of B B' C + C B B', shifted by a layer and by a step
        for begin in range(0, rank, COLUMNS):
            some = slice(begin, begin + COLUMNS)
            drawn = np.einsum("pij,qkl,jlr->pqikr", layers, steps, grids[..., some], optimize=True)
            drawn = drawn.reshape(n_pairs, n_layers, n_steps, -1)
            flat = drawn.reshape(n_pairs, -1)
            products += flat @ flat.T
            inner[..., some] = basis.T @ drawn.reshape(n_pairs, basis.shape[0], -1)
            for axis, (here, there) in enumerate(NEIGHBOURS):
                shared[:, axis] += (
                    drawn[:, *there].reshape(n_pairs, -1) @ grids[*here, some].ravel()
                )
                shared[:, axis] += (
                    drawn[:, *here].reshape(n_pairs, -1) @ grids[*there, some].ravel()
                )
        size = basis.shape[0] - np.einsum("prr->p", inner)  # tr(M C M)
        self.shape = shape
        # Expected products of a cell with the next layer, and with the next step.
        lagged = np.stack(np.meshgrid(*[AUTOCORRELATIONS] * 2, indexing="ij"), -1).reshape(-1, 2)
        counts = np.array([(n_layers - 1) * n_steps, n_layers * (n_steps - 1)])
        within = [
            grids[*here].reshape(-1, rank).T @ grids[*there].reshape(-1, rank)
            for here, there in NEIGHBOURS
        ]
        twice = np.einsum("prs,ars->pa", inner, within)
        self.expected = (lagged * counts - shared + twice) / size[:, None]
        # Variance of the correlation between grids of any two of the autocorrelations:
        # tr(M C M D) = tr(C D) - 2 tr(B' C D B) + tr(B' C B B' D B), over both traces.
        whole = np.einsum("pij,qij->pq", layers, layers), np.einsum("pij,qij->pq", steps, steps)
        flat = inner.reshape(n_pairs, -1)
        both = np.kron(*whole) - 2 * products + flat @ flat.T
        self.variances = both / np.outer(size, size)

    def nearest(self, residuals: np.ndarray) -> int:
        """Return the place of the autocorrelation that fits a grid of residuals."""
        grid = residuals.reshape(self.shape)
        size = (grid**2).sum()
        observed = np.array(
            [(grid[1:] * grid[:-1]).sum() / size, (grid[:, 1:] * grid[:, :-1]).sum() / size]
        )
        return int(((self.expected - observed) ** 2).sum(axis=1).argmin())

    def effective_cells(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the number of independent cells whose correlation varies as that of x and y."""
        return 1 / float(self.variances[self.nearest(x), self.nearest(y)]) + 1


def autoregression(n: int, rho: float) -> np.ndarray:
    """Return the (n, n) correlations of a first-order autoregression."""
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return rho**apart if rho else np.eye(n)


def matched_test(partial: Partial, x: np.ndarray, y: np.ndarray) -> Test:
    """Test a partial correlation at the number of independent cells that the grids are worth.

    Parameters
    ----------
    partial : what is taken out.
    x, y : (n_layers, n_steps) grids.

    Returns
    -------
    Test; all NaN where nothing of a grid is left. The interval is Fisher's, and NaN with fewer than
    about five independent cells.
    """
    from scipy.stats import norm, t

    left_x, left_y = partial.residuals(x.ravel()), partial.residuals(y.ravel())
    r = correlation(left_x, left_y)
    if np.isnan(r):
        return Test(r, np.nan, np.nan, np.nan, np.nan)
    n = partial.null.effective_cells(left_x, left_y)
    degrees = max(n - 2, 1.0)
    p = 2 * float(t.sf(abs(r) * np.sqrt(degrees / max(1 - r**2, 1e-12)), degrees))
    low = high = np.nan
    if n > 4:
        reach = float(norm.ppf((1 + LEVEL) / 2)) / np.sqrt(n - 3)
        low, high = (float(np.tanh(np.arctanh(r) + side * reach)) for side in (-1, 1))
    return Test(r, p, low, high, n)


def shift_p(partial: Partial, x: np.ndarray, y: np.ndarray) -> float:
    """Test a partial correlation against all circular shifts of one grid, two-sided.

    The residuals of `x` are shifted along layers and steps together and the columns taken out
    again. A shift puts what is at one end of a grid beside what is at the other, and with that
    break the test rejects too often; so the grid is first joined to its mirror images, which meet
    it where it ends, and a grid of the old shape is cut out of the whole.
    """
    left_x, left_y = partial.residuals(x.ravel()), partial.residuals(y.ravel())
    observed = correlation(left_x, left_y)
    if np.isnan(observed):
        return np.nan
    null = [
        correlations_with(left_y, partial.residuals(shifts))
        for shifts in mirrored_shifts(left_x.reshape(partial.shape))
    ]
    return float(np.mean(np.abs(np.concatenate(null)) >= abs(observed) - 1e-12))


def correlations_with(y: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Return the correlation of residuals (n_cells,) with each of (n_cells, n), 0 if undefined."""
    scale = np.sqrt((many**2).sum(axis=0) * (y @ y))
    return np.divide(y @ many, scale, out=np.zeros(len(scale)), where=scale > 0)


def mirrored_shifts(grid: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the circular shifts of a grid joined to its mirror images, cut to the grid's shape.

    Yields
    ------
    (n_cells, 2 n_steps), the shifts along steps, for each of 2 n_layers shifts along layers; the
    first column of all is the grid itself.
    """
    n_layers, n_steps = grid.shape
    whole = np.block([[grid, grid[:, ::-1]], [grid[::-1], grid[::-1, ::-1]]])
    steps = np.add.outer(np.arange(n_steps), np.arange(2 * n_steps)) % (2 * n_steps)
    for shift in range(2 * n_layers):
        rows = np.roll(whole, -shift, axis=0)[:n_layers]
        yield rows[:, steps].reshape(grid.size, -1)


def layer_bootstrap(
    partial: Partial, x: np.ndarray, y: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Resample a partial correlation by drawing layers, with all their steps, with replacement.

    Returns
    -------
    (n,) correlations; NaN where a draw leaves nothing of a grid, as one of a single layer may.
    """
    n_layers, n_steps = partial.shape
    values = np.column_stack([partial.columns, x.ravel(), y.ravel()])
    by_layer = values.reshape(n_layers, n_steps, -1)
    products = np.einsum("lsi,lsj->lij", by_layer, by_layer)
    counts = rng.multinomial(n_layers, np.full(n_layers, 1 / n_layers), size=n)
    total = np.tensordot(counts, products, axes=1)
    k = partial.columns.shape[1]
    cross = total[:, :k, k:]
    left = total[:, k:, k:] - cross.transpose(0, 2, 1) @ (
        np.linalg.pinv(total[:, :k, :k], rcond=1e-10, hermitian=True) @ cross
    )
    spread = left[:, 0, 0] * left[:, 1, 1]
    floor = 1e-16 * total[:, k, k] * total[:, k + 1, k + 1]
    usable = (spread > floor) & (left[:, 0, 0] > 0)
    return np.where(usable, left[:, 0, 1] / np.sqrt(np.where(usable, spread, 1.0)), np.nan)
