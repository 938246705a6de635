"""The atoms of a checkpoint: from what its neurons say to words, to time courses on the samples."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lmcortex import storage
from lmcortex.encoding.design import read_features, sample_operators, scale_columns
from lmcortex.errors import InputError
from lmcortex.networks.dictionary import Dictionary, code, learn_dictionary
from lmcortex.networks.surrogates import phase_randomised
from lmcortex.seeds import generator

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

MAIN = "main"
HELD_OUT = "held-out"  # neurons that atoms were not learnt from
HELD_OUT_SHARE = 0.1
CONTROL = "phase-randomised"  # main atoms, moved in time: what chance makes of the same pipeline


class Signals(NamedTuple):
    """What all neurons of a checkpoint say.

    Attributes
    ----------
    values : (n_neurons, n_samples) float32 rows of unit length and, in every run, of mean 0.
    layers : (n_neurons,) layer of each, from 1.
    n_dropped : neurons left out because they are constant in a run.
    """

    values: np.ndarray
    layers: np.ndarray
    n_dropped: int


def neuron_signals(path: "str | Path", items: "pd.DataFrame", words: "pd.DataFrame") -> Signals:
    """Bring what neurons say to words onto the samples, one layer at a time.

    Words pass through the haemodynamic response as hidden states do (`lmcortex.hrf`); each neuron
    is then z-scored in every run. How the paper does this is not known: a default.

    Parameters
    ----------
    path : file of `extract_neurons`.
    items, words : the dataset's tables.

    Raises
    ------
    InputError : no neuron varies in every run.
    """
    [to_samples] = sample_operators("words", items, words, {"kind": "story", "response": "glover"})
    runs = items["run"].to_numpy()
    found = read_features(path, "word")
    values, layers, n_dropped = [], [], 0
    for layer, states in found.layers.items():
        scaled, dropped = scale_columns(to_samples(states), runs)
        values.append((scaled.T / np.sqrt(len(items))).astype(np.float32))
        layers += [layer] * scaled.shape[1]
        n_dropped += dropped
    if not layers:
        raise InputError(f"{path}: no neuron varies in every run; check the checkpoint's weights")
    joined = np.empty((len(layers), len(items)), np.float32)
    np.concatenate(values, out=joined)
    return Signals(joined, np.array(layers), n_dropped)


def learn_atoms(
    signals: Signals, runs: np.ndarray, spec: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Learn every set of atoms that a study asks for.

    Parameters
    ----------
    signals : as `neuron_signals` returns them.
    runs : (n_samples,) run of each sample.
    spec : ``n_atoms``, ``penalty``, ``epochs``, ``seeds``; ``sweep``, further numbers of atoms
        (set ``atoms-{k}``); ``matched_neurons``, None or how many neurons drawn at random shall
        be enough (set ``neurons-{n}``, where there are more).

    Returns
    -------
    ``layers`` (n_neurons,), ``main/weights`` (n_atoms, n_neurons), and for each set
    ``{set}/atoms`` (n_atoms, n_samples), ``{set}/r2`` (neurons it was learnt from) and
    ``{set}/seed_match`` (n_atoms,). Set ``phase-randomised`` has the main atoms after
    `surrogates.phase_randomised`, and no more; ``held-out`` only ``r2``, see `held_out_r2`.
    """
    learning = {name: spec[name] for name in ("epochs", "seeds")}
    values, penalty = signals.values, spec["penalty"]
    arrays = {"layers": signals.layers.astype(np.int32)}

    def keep(name: str, found: Dictionary) -> None:
        arrays[f"{name}/atoms"] = found.atoms
        arrays[f"{name}/r2"] = found.r2
        arrays[f"{name}/seed_match"] = found.seed_match

    main = learn_dictionary(values, spec["n_atoms"], penalty, key=[MAIN], **learning)
    keep(MAIN, main)
    arrays[f"{MAIN}/weights"] = main.weights
    arrays[f"{HELD_OUT}/r2"] = held_out_r2(values, spec["n_atoms"], penalty, **learning)
    control = phase_randomised(main.atoms.T, runs, generator("control atoms"))
    arrays[f"{CONTROL}/atoms"] = np.ascontiguousarray(control.T)
    for n_atoms in spec["sweep"]:
        name = f"atoms-{n_atoms}"
        keep(name, learn_dictionary(values, n_atoms, penalty, key=[name], **learning))
    wanted = spec["matched_neurons"]
    if wanted is not None and wanted < len(values):
        name = f"neurons-{wanted}"
        drawn = np.sort(generator("matched neurons", wanted).permutation(len(values))[:wanted])
        keep(
            name,
            learn_dictionary(values[drawn], spec["n_atoms"], penalty, key=[name], **learning),
        )
    return arrays


def held_out_r2(
    values: np.ndarray, n_atoms: int, penalty: float, *, epochs: int, seeds: int
) -> np.ndarray:
    """Return R2 of a tenth of the neurons, drawn at random, by atoms learnt from the others."""
    order = generator("held-out neurons").permutation(len(values))
    n_out = max(1, round(HELD_OUT_SHARE * len(values)))
    rest, out = np.sort(order[n_out:]), np.sort(order[:n_out])
    learning = {"epochs": epochs, "seeds": seeds, "key": [HELD_OUT]}
    found = learn_dictionary(values[rest], n_atoms, penalty, **learning)
    return code(values[out], found.atoms, penalty)[1]


def read_sets(path: "str | Path") -> dict[str, np.ndarray]:
    """Read every set of atoms: (n_samples, n_atoms) z-scored regressors by its name, main first."""
    with storage.open_arrays(path) as arrays:
        names = {key.partition("/")[0] for key in arrays.keys() if key.endswith("/atoms")}  # noqa: SIM118
        found = {name: arrays.get_tensor(f"{name}/atoms").T for name in names}
    order = [MAIN, *sorted(names - {MAIN})]
    return {
        name: (found[name] - found[name].mean(axis=0)) / found[name].std(axis=0) for name in order
    }
