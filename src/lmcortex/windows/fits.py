"""Integration windows: from differences to a window per unit, and the forms that may fit it.

Skrill & Norman-Haignere 2023, Adv. NeurIPS 36:638-654, with the steps and bounds of its code.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Free parameters of each form, for BIC.
FORMS = {"delta": 0, "flat": 1, "exponential": 1, "power": 1, "mixture": 3}
UNDEFINED = "undefined"  # instead of a form, where a unit has no window
KINDS = (*FORMS, UNDEFINED)
TIE = 1.25  # of the lowest held-out error: a form with fewer parameters may be so much worse
MAX_EXPONENT = MAX_RATE = 10.0
SKIPPED = 2  # first words of a sequence that are never swapped: on them models put odd states
# Of the response to the word itself: a window is told from another no finer than this.
RESOLUTION = 1e-3
GRID = np.concatenate([[0.0], np.geomspace(0.01, 10, 39)])  # exponents, and rates, to start from
CHUNK = 512  # windows compared with the grid at once
MAX_ITERATIONS = 300
STEP = 1e-9  # a fit has settled when no parameter moves by more


def integration_windows(differences: np.ndarray) -> np.ndarray:
    """Return each unit's window: how a swap is felt, by how many words ago it was.

    Parameters
    ----------
    differences : (words x lags x units), mean absolute difference of a unit `lag` words after the
        swapped word; what lies behind the sequence's end is not read.

    Returns
    -------
    (units x lags): at each measured word, the differences over that of the word's own swap; then
    the median over words. The first value is 1. NaN for a unit that a swap leaves as it is at some
    measured word.
    """
    n_words, n_lags, _ = differences.shape
    measured = np.arange(n_lags - 1 + SKIPPED, n_words)
    lags = np.arange(n_lags)
    felt = differences[measured[:, None] - lags, lags].astype(np.float64)  # measured x lags x units
    own = felt[:, :1]
    ratio = np.divide(felt, own, out=np.full_like(felt, np.nan), where=own > 0)
    return np.median(ratio, axis=0).T


def window_lengths(windows: np.ndarray) -> np.ndarray:
    """Return the sum of each window over its lags (n,): its equivalent width, in words.

    1 for a window that is the word itself; no form is taken for granted.
    """
    return windows.sum(axis=1)


# --- forms ----------------------------------------------------------------------------------------


def exponential(parameters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return exp(-rate lag) of (windows x 1) rates: (windows x lags)."""
    return np.exp(-parameters[:, :1] * lags)


def power(parameters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return (lag + 1)^-exponent of (windows x 1) exponents: (windows x lags)."""
    return np.exp(-parameters[:, :1] * np.log1p(lags))


def mixture(parameters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return weight power + (1 - weight) exponential of (windows x 3) exponent, rate, weight."""
    weight = parameters[:, 2:]
    return weight * power(parameters[:, :1], lags) + (1 - weight) * exponential(
        parameters[:, 1:2], lags
    )


def exponential_slopes(parameters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    return (-lags * exponential(parameters, lags))[:, None]


def power_slopes(parameters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    return (-np.log1p(lags) * power(parameters, lags))[:, None]


def mixture_slopes(parameters: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return the derivatives (windows x 3 x lags) of the mixture."""
    exponent, rate, weight = parameters[:, :1], parameters[:, 1:2], parameters[:, 2:]
    slow, fast = power(exponent, lags), exponential(rate, lags)
    return np.stack([-np.log1p(lags) * slow * weight, -lags * fast * (1 - weight), slow - fast], 1)


# --- fitting --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fits:
    """Forms fitted to windows, one row for each window; NaN for one that is not defined.

    Attributes
    ----------
    level : (n,) of the flat form after lag 0.
    rate : (n,) of the exponential alone, per word.
    exponent : (n,) of the power law alone.
    mixture : (n x 3) exponent, rate and weight of the power law.
    """

    level: np.ndarray
    rate: np.ndarray
    exponent: np.ndarray
    mixture: np.ndarray

    def predict(self, n_lags: int) -> dict[str, np.ndarray]:
        """Return the (n x n_lags) windows of each form."""
        lags = np.arange(n_lags, dtype=float)
        first = np.broadcast_to(lags == 0, (len(self.level), n_lags))
        return {
            "delta": first.astype(float),
            "flat": np.where(first, 1.0, self.level[:, None]),
            "exponential": exponential(self.rate[:, None], lags),
            "power": power(self.exponent[:, None], lags),
            "mixture": mixture(self.mixture, lags),
        }


def fit_windows(windows: np.ndarray) -> Fits:
    """Fit every form to every window by least squares, all windows at once.

    The exponent and the rate lie in 0 to 10, the weight in 0 to 1. The search starts from the best
    of a grid of them, so that it ends in the lowest of several minima, and goes on by
    Levenberg-Marquardt steps.

    Parameters
    ----------
    windows : (n x lags), 1 at lag 0; rows with NaN are left out.
    """
    n, n_lags = windows.shape
    lags = np.arange(n_lags, dtype=float)
    usable = np.isfinite(windows).all(axis=1)
    known = windows[usable]
    found = {
        "level": np.clip(known[:, 1:].mean(axis=1), 0, 1),
        "rate": fit_one(known, lags, exponential, exponential_slopes, MAX_RATE),
        "exponent": fit_one(known, lags, power, power_slopes, MAX_EXPONENT),
        "mixture": fit_mixture(known, lags),
    }
    filled = {}
    for name, values in found.items():
        filled[name] = np.full((n, *values.shape[1:]), np.nan)
        filled[name][usable] = values
    return Fits(**filled)


Form = Callable[[np.ndarray, np.ndarray], np.ndarray]


def fit_one(
    windows: np.ndarray, lags: np.ndarray, form: Form, slopes: Form, most: float
) -> np.ndarray:
    """Fit a form of one parameter, between 0 and `most`: (n,)."""
    curves = form(GRID[:, None], lags)
    # |window - curve|^2 but for the part that no curve changes.
    distance = (curves**2).sum(axis=1) - 2 * windows @ curves.T
    start = GRID[distance.argmin(axis=1)][:, None]
    return settle(windows, lags, form, slopes, start, np.array([most]))[:, 0]


def fit_mixture(windows: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Fit the mixture: (n x 3) exponent, rate, weight.

    There are several minima, often about as low: the tail is the exponential's, or the power law's,
    which may be slow or steep. The best of them is returned.
    """
    bounds = np.array([MAX_EXPONENT, MAX_RATE, 1.0])
    found = np.stack(
        [
            settle(windows, lags, mixture, mixture_slopes, start, bounds)
            for start in starts_of_mixture(windows, lags)
        ]
    )
    errors = np.stack([((mixture(each, lags) - windows) ** 2).sum(axis=1) for each in found])
    return found[errors.argmin(axis=0), np.arange(len(windows))]


def starts_of_mixture(windows: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return the best points of the grid for each kind of tail.

    Returns
    -------
    (3 x n x 3) exponent, rate and the best weight of each pair of them.
    """
    slow, fast = power(GRID[:, None], lags), exponential(GRID[:, None], lags)
    apart = slow[:, None] - fast[None]  # exponents x rates x lags
    size = (apart**2).sum(axis=-1)
    shift, height = (apart * fast).sum(axis=-1), (fast**2).sum(axis=1)
    is_tail, is_slow = apart[..., -1] >= 0, GRID[:, None] < 1
    parts = []
    for begin in range(0, len(windows), CHUNK):
        some = windows[begin : begin + CHUNK]
        # The window is fast + weight * apart: a line through the origin once `fast` is taken off.
        along = (some @ slow.T)[:, :, None] - (some @ fast.T)[:, None] - shift
        weight = np.clip(np.divide(along, size, out=np.zeros_like(along), where=size > 0), 0, 1)
        off = height - 2 * some @ fast.T
        error = off[:, None] - 2 * weight * along + weight**2 * size
        rows, chosen = np.arange(len(some)), []
        for allowed in (~is_tail, is_tail & is_slow, is_tail & ~is_slow):
            best = np.where(allowed, error, np.inf).reshape(len(some), -1).argmin(axis=1)
            exponent, rate = np.unravel_index(best, size.shape)
            chosen.append(np.stack([GRID[exponent], GRID[rate], weight[rows, exponent, rate]], 1))
        parts.append(np.stack(chosen))
    return np.concatenate([np.empty((3, 0, 3)), *parts], axis=1)


def settle(
    windows: np.ndarray,
    lags: np.ndarray,
    form: Form,
    slopes: Form,
    start: np.ndarray,
    most: np.ndarray,
) -> np.ndarray:
    """Take Levenberg-Marquardt steps between bounds from 0 to `most` until every fit has settled.

    A parameter at a bound that the error would push further out stays there for a step.

    Parameters
    ----------
    windows : (n x lags).
    start : (n x parameters), also what is returned, moved.
    """
    parameters = start.copy()
    damping = np.full(len(windows), 1e-3)
    moving = np.arange(len(windows))
    for _ in range(MAX_ITERATIONS):
        if not len(moving):
            break
        here = parameters[moving]
        left = form(here, lags) - windows[moving]
        jacobian = slopes(here, lags)
        gradient = np.einsum("npl,nl->np", jacobian, left)
        held = ((here <= 0) & (gradient > 0)) | ((here >= most) & (gradient < 0))
        jacobian[held] = 0
        gradient[held] = 0
        normal = jacobian @ jacobian.transpose(0, 2, 1)
        size = np.einsum("npp->np", normal)
        damped = normal + np.eye(len(most)) * (damping[moving, None] * size + 1e-12)[:, None]
        step = np.linalg.solve(damped, -gradient[..., None])[..., 0]
        there = np.clip(here + step, 0, most)
        better = ((form(there, lags) - windows[moving]) ** 2).sum(axis=1) < (left**2).sum(axis=1)
        parameters[moving[better]] = there[better]
        damping[moving] = np.where(better, damping[moving] / 10, damping[moving] * 10)
        settled = (np.abs(there - here) <= STEP).all(axis=1)
        moving = moving[~settled & (damping[moving] < 1e12)]
    return parameters


def squared_errors(fits: Fits, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Return each form's mean squared error (n,) on windows, over lags after 0, where all are 1."""
    return {
        name: ((window - windows)[:, 1:] ** 2).mean(axis=1)
        for name, window in fits.predict(windows.shape[1]).items()
    }


def bic(errors: dict[str, np.ndarray], n_lags: int) -> dict[str, np.ndarray]:
    """Return each form's Bayesian information criterion m log(MSE) + p log m; lower is better.

    Lag 0 is not counted, so that m = n_lags - 1. Errors below `RESOLUTION` count as that: two forms
    that both fit a window to rounding differ by their parameters alone.
    """
    m = n_lags - 1
    return {
        name: m * np.log(np.maximum(error, RESOLUTION**2)) + FORMS[name] * np.log(m)
        for name, error in errors.items()
    }


def simplest(errors: dict[str, np.ndarray]) -> np.ndarray:
    """Name the form of fewest parameters among those about as good as the best on held-out data.

    About as good is an error of at most `TIE` times the lowest; of forms with as many parameters
    the better one is taken. Errors below `RESOLUTION` count as that.

    Parameters
    ----------
    errors : mean squared error (n,) of each form on windows that it was not fitted to.
    """
    floored = {name: np.maximum(error, RESOLUTION**2) for name, error in errors.items()}
    lowest = np.stack(list(floored.values())).min(axis=0)
    # More parameters weigh more than any error of a form that is good enough.
    return lowest_of(
        {
            name: np.where(error <= TIE * lowest, FORMS[name] * TIE + error / lowest, np.inf)
            + 0 * lowest
            for name, error in floored.items()
        }
    )


def lowest_of(values: dict[str, np.ndarray]) -> np.ndarray:
    """Name the form of the lowest value of each window, `undefined` where there is no window."""
    stacked = np.stack([values[name] for name in FORMS])
    undefined = np.isnan(stacked).any(axis=0)
    return np.where(undefined, UNDEFINED, np.array(list(FORMS))[stacked.argmin(axis=0)])
