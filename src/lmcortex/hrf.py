"""From word times to brain samples: the haemodynamic response, or delays of a finite response."""

import math

import numpy as np

from lmcortex.errors import InputError

KERNEL_SECONDS = 32.0
LEAD_SECONDS = 24.0  # of time before the first sample, on nilearn's grid
UNDERSHOOT = 0.48  # its weight, as in nilearn since version 0.11; before, it was .35


def hrf_operator(
    onsets: np.ndarray,
    durations: np.ndarray,
    frame_times: np.ndarray,
    *,
    oversampling: int = 50,
    undershoot: float = UNDERSHOOT,
) -> np.ndarray:
    """Return the matrix that turns word vectors into predicted responses by the Glover HRF.

    A word is a boxcar from its onset to its end; its response is the boxcar convolved with the HRF
    and read at the sample times. All this is linear in the word's amplitude, so that one matrix
    serves every unit of every layer: ``operator @ word_vectors``. Equal, to rounding, to nilearn's
    ``compute_regressor(..., "glover", frame_times)``, whose time grid it copies. One difference:
    nilearn lumps words that start more than 24 s before the first sample together at the start of
    its grid, while here the grid begins before them.

    Parameters
    ----------
    onsets, durations : (n_words,) seconds; a word with NaN onset has no response.
    frame_times : (n_frames,) increasing seconds, on the words' clock, of one run.
    oversampling : grid points per sample.
    undershoot : weight of the HRF's second gamma density.

    Returns
    -------
    (n_frames, n_words) float64.

    References
    ----------
    Glover (1999), NeuroImage 9, 416-429, doi 10.1006/nimg.1998.0419.
    """
    frame_times = np.asarray(frame_times, np.float64)
    onsets, durations = np.asarray(onsets, np.float64), np.asarray(durations, np.float64)
    if frame_times.size < 2 or (np.diff(frame_times) <= 0).any():
        raise InputError("frame times: expected at least 2 increasing values in a run")
    if not (durations[np.isfinite(onsets)] >= 0).all():
        raise InputError("word durations: expected 0 s or more for every word with an onset")

    heard = onsets + durations > frame_times[0] - KERNEL_SECONDS  # False where the onset is NaN
    starts, ends = onsets[heard], (onsets + durations)[heard]
    tr = float(np.diff(frame_times).min())
    grid = _grid(frame_times, starts, tr, oversampling)
    last = grid.size - 1
    on = np.minimum(np.searchsorted(grid, starts), last)
    off = np.minimum(np.searchsorted(grid, ends), last)
    off += (off == on) & (off < last)  # a word lasts at least one grid point

    # The response to a boxcar is a step response minus the same, later.
    step = np.concatenate([[0.0], np.cumsum(glover_hrf(tr, oversampling, undershoot))])

    def response_at(points: np.ndarray) -> np.ndarray:
        since_on = np.clip(points[:, None] - on + 1, 0, step.size - 1)
        since_off = np.clip(points[:, None] - off + 1, 0, step.size - 1)
        return step[since_on] - step[since_off]

    left = np.clip(np.searchsorted(grid, frame_times) - 1, 0, last - 1)
    share = ((frame_times - grid[left]) / (grid[left + 1] - grid[left]))[:, None]
    operator = np.zeros((frame_times.size, onsets.size))
    operator[:, heard] = (1 - share) * response_at(left) + share * response_at(left + 1)
    return operator


def _grid(frame_times: np.ndarray, starts: np.ndarray, tr: float, oversampling: int) -> np.ndarray:
    """Return nilearn's fine time grid, begun earlier by whole samples where words need it."""
    first, final, n = frame_times[0], frame_times[-1], frame_times.size
    earliest = starts.min(initial=first)
    lead = LEAD_SECONDS + tr * max(0, math.ceil((first - LEAD_SECONDS - earliest) / tr))
    stop = final * (1 + 1 / (n - 1))
    points = (n - 1) / (final - first) * (stop - first + lead) * oversampling + 1
    return np.linspace(first - lead, stop, round(points))


def glover_hrf(tr: float, oversampling: int, undershoot: float = UNDERSHOOT) -> np.ndarray:
    """Return Glover's HRF, a difference of two gamma densities, sampled every tr / oversampling s.

    Returns
    -------
    (32 s / tr * oversampling,) float64 with sum 1.
    """
    dt = tr / oversampling
    times = np.linspace(0, KERNEL_SECONDS, round(KERNEL_SECONDS / dt)) - dt
    peak, dip = (_gamma_density(times, seconds / 0.9, 0.9) for seconds in (6, 12))
    hrf = peak - undershoot * dip
    return hrf / hrf.sum()


def _gamma_density(times: np.ndarray, shape: float, scale: float) -> np.ndarray:
    ratio = np.clip(times, 0, None) / scale
    return ratio ** (shape - 1) * np.exp(-ratio) / (math.gamma(shape) * scale)


def words_to_grid(features: np.ndarray, times: np.ndarray, frame_times: np.ndarray) -> np.ndarray:
    """Sum word vectors into the samples nearest to them in time.

    A finite impulse response at a delay of d seconds is ``words_to_grid(features, times + d,
    frame_times)``: moving the words rather than the rows keeps what was heard during trimmed
    samples.

    Parameters
    ----------
    features : (n_words, width).
    times : (n_words,) seconds; a word with a NaN time is left out.
    frame_times : (n_frames,) equally spaced seconds of one run, on the words' clock.

    Returns
    -------
    (n_frames, width), dtype of `features`; 0 where no word was heard.
    """
    tr = frame_times[1] - frame_times[0]
    nearest = np.floor((times - frame_times[0]) / tr + 0.5)
    chosen = nearest == np.arange(len(frame_times))[:, None]
    return chosen.astype(features.dtype) @ features
