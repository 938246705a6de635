"""Phase-randomised atoms: the same spectra and correlations, but no relation to the stimulus."""

import numpy as np


def phase_randomised(atoms: np.ndarray, runs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift every frequency of each run by a random phase, the same for all atoms.

    Each atom keeps its power spectrum, and so its autocorrelation, and any two atoms keep their
    correlation (Prichard & Theiler 1994, Phys. Rev. Lett. 73:951): what is lost is when things
    happen.

    Parameters
    ----------
    atoms : (n_samples, n_atoms).
    runs : (n_samples,) run of each sample; samples of a run stand together.

    Returns
    -------
    (n_samples, n_atoms).
    """
    result = np.empty_like(atoms)
    for run in np.unique(runs):
        here = np.flatnonzero(runs == run)
        spectrum = np.fft.rfft(atoms[here], axis=0)
        shift = np.exp(2j * np.pi * rng.random(len(spectrum)))
        shift[0] = 1  # the mean stays
        if len(here) % 2 == 0:
            shift[-1] = rng.choice([-1.0, 1.0])  # the highest frequency has no phase but a sign
        result[here] = np.fft.irfft(spectrum * shift[:, None], len(here), axis=0)
    return result
