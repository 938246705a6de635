"""Slow drift of the scanner and the body, and how it is taken out of a run."""

from collections.abc import Mapping

import numpy as np

from lmcortex.errors import InputError

ORDER = 5  # of the Butterworth filter, as in nilearn
PADDING = 18  # samples by which it reflects a run at either end


def remove_drift(
    values: np.ndarray, tr: float, filter_: Mapping[str, float], where: str
) -> tuple[np.ndarray, int]:
    """Take the slow signals out of a run.

    Parameters
    ----------
    values : (n_samples, n_targets).
    tr : seconds.
    filter_ : as `drift_basis` takes it; or ``{"butterworth": hertz}``, a line and then a high-pass
        of order 5, forwards and backwards (what nilearn's maskers do with `detrend` and
        `high_pass`).

    Returns
    -------
    (n_samples, n_targets) what is left, and how many regressors were taken out.
    """
    n = len(values)
    if "butterworth" not in filter_:
        basis = drift_basis(n, tr, filter_, where)
        return detrend(values, basis), basis.shape[1]
    if n <= PADDING:
        raise InputError(
            f"{where}: {n} samples; a Butterworth filter needs more than {PADDING}, filter less"
        )
    from scipy.signal import butter, sosfiltfilt

    line = drift_basis(n, tr, {"polynomial": 1}, where)
    sections = butter(ORDER, filter_["butterworth"], "highpass", fs=1 / tr, output="sos")
    return sosfiltfilt(sections, detrend(values, line), axis=0), line.shape[1]


def drift_basis(n: int, tr: float, filter_: Mapping[str, float], where: str) -> np.ndarray:
    """Return an orthonormal basis of the slow signals to take out of a run.

    Parameters
    ----------
    n : samples in the run.
    tr : seconds.
    filter_ : ``{"polynomial": order}``, or ``{"high_pass": hertz}`` for the mean, a line and the
        discrete cosines up to that frequency (the drift model of SPM and nilearn), or empty for
        the mean only.

    Returns
    -------
    (n, n_regressors) float64.
    """
    line = np.linspace(-1, 1, n)
    if "high_pass" in filter_:
        cycles = np.arange(1, int(2 * n * tr * filter_["high_pass"]) + 1)
        cosines = np.cos(np.pi / n * (np.arange(n)[:, None] + 0.5) * cycles)
        basis = np.column_stack([np.ones(n), line, cosines])
    else:
        # Legendre polynomials span the powers of time without their rounding errors.
        basis = np.polynomial.legendre.legvander(line, int(filter_.get("polynomial", 0)))
    if basis.shape[1] >= n - 1:
        raise InputError(
            f"{where}: a filter of {basis.shape[1]} regressors leaves nothing of {n} samples; "
            "filter less"
        )
    return np.linalg.qr(basis)[0]


def detrend(values: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Take the orthonormal `drift` (n_samples, n_regressors) out of each column."""
    return values - drift @ (drift.T @ values)
