"""The maps of each subject: what `map_atoms` computes."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex import storage
from lmcortex.encoding.design import (
    sample_operators,
    scale_columns,
    stack_responses,
    target_batches,
)
from lmcortex.errors import InputError
from lmcortex.folds import make_folds
from lmcortex.networks.maps import BEYOND_RATE, ENCODERS, fit_maps, without

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def word_rate(items: "pd.DataFrame", words: "pd.DataFrame") -> np.ndarray:
    """Return word rate (n_samples, 1): a one for each word, through the HRF, z-scored by run."""
    [to_samples] = sample_operators("words", items, words, {"kind": "story", "response": "glover"})
    return scale_columns(to_samples(np.ones((len(words), 1))), items["run"].to_numpy())[0]


def map_atoms(
    sets: Mapping[str, np.ndarray],
    responses: "Sequence[xr.Dataset]",
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    spec: Mapping[str, Any],
) -> "xr.Dataset":
    """Fit the responses of some subjects from every set of atoms, with every encoder.

    Parameters
    ----------
    sets : (n_samples, n_atoms) z-scored atoms by name, see `lmcortex.networks.atoms.read_sets`.
    responses : prepared responses, one per subject.
    items, words : the dataset's tables.
    spec : ``folds``, as for `lmcortex.folds.make_folds`.

    Returns
    -------
    For each set the variables ``weights {set}`` (encoder x atom x target), and ``r2_in {set}``,
    ``r2_cv {set}`` and ``penalty {set}`` (encoder x target), all float32; see
    `lmcortex.networks.maps`. The target's coordinate ``subject`` says whose it is.
    """
    import xarray as xr
    from tqdm import tqdm

    stacked = stack_responses(responses, items)
    [(_, values)] = target_batches(stacked, stacked.sizes["target"])
    subjects = stacked["subject"].to_numpy()
    runs, rate = items["run"].to_numpy(), word_rate(items, words)
    folds = make_folds(spec["folds"], items)
    found: dict[str, Any] = {}
    labels = list(dict.fromkeys(subjects))
    for name, subject in tqdm([(n, s) for n in sets for s in labels], file=sys.stderr):
        here = subjects == subject
        for row, encoder in enumerate(ENCODERS):
            atoms, seen = sets[name], values[:, here]
            if encoder == BEYOND_RATE:
                atoms, seen = without(rate, atoms, runs), without(rate, seen, runs)
            maps = fit_maps(encoder, atoms, seen, folds)
            for key, result in maps._asdict().items():
                shape = (len(ENCODERS), *np.shape(maps.weights)[: key == "weights"], len(here))
                place = found.setdefault(f"{key} {name}", np.empty(shape, np.float32))
                place[row, ..., here] = np.asarray(result).T
    axes = {
        key: ("encoder", f"atom {key.partition(' ')[2]}", "target")[:: 1 if array.ndim == 3 else 2]
        for key, array in found.items()
    }
    targets = {key: stacked[key] for key in ("target", "subject", "roi", "hemisphere", *"xyz")}
    return xr.Dataset(
        {key: (axes[key], array) for key, array in found.items()},
        {**targets, "encoder": list(ENCODERS)},
    )


def read_responses(paths: Sequence[str], items: "pd.DataFrame") -> Iterator[np.ndarray]:
    """Read the responses (n_samples, n_targets) of one subject after the other.

    Raises
    ------
    InputError : subjects with other targets than the first, over whom no map can be taken.
    """
    first = None
    for path in paths:
        found = stack_responses([storage.read_dataset(path)], items)
        targets = found["target"].to_numpy().tolist()
        first = first or targets
        if targets != first:
            raise InputError(
                f"{path}: its targets differ from those of {paths[0]}, and maps are compared over "
                "subjects; give all subjects the same voxels or ROIs"
            )
        yield found["response"].to_numpy()
