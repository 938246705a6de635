"""Atoms and sub-groups, against planted ones, closed forms and scikit-learn's other solver."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LassoLars

from lmcortex import storage
from lmcortex.errors import InputError
from lmcortex.hrf import hrf_operator
from lmcortex.networks.atoms import held_out_r2, learn_atoms, neuron_signals
from lmcortex.networks.dictionary import code, learn_dictionary, match, sparse_weights
from lmcortex.networks.group import Labelled
from lmcortex.networks.groups import hard_groups, layer_profile, membership
from lmcortex.networks.tables import Learnt, atom_table

N_SAMPLES = 120


def unit_rows(values: np.ndarray) -> np.ndarray:
    values = values - values.mean(axis=1, keepdims=True)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def planted(
    n_atoms: int = 6, n_neurons: int = 600, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return signals, atoms and weights: each neuron follows one atom, and some a second."""
    rng = np.random.default_rng(seed)
    atoms = unit_rows(rng.standard_normal((n_atoms, N_SAMPLES)))
    weights = np.zeros((n_atoms, n_neurons))
    owners = np.arange(n_neurons) % n_atoms
    weights[owners, np.arange(n_neurons)] = rng.uniform(0.7, 1, n_neurons)
    weights[(owners + 1) % n_atoms, np.arange(n_neurons)] = 0.3 * (rng.random(n_neurons) < 0.3)
    noisy = weights.T @ atoms + noise * unit_rows(rng.standard_normal((n_neurons, N_SAMPLES)))
    return unit_rows(noisy).astype(np.float32), atoms, weights


@pytest.fixture(scope="module")
def found():
    signals, atoms, weights = planted()
    return learn_dictionary(signals, 6, 0.1, seeds=2), signals, atoms, weights


# --- dictionaries ---------------------------------------------------------------------------------


def test_planted_atoms_are_recovered(found) -> None:
    learnt, _, atoms, _ = found
    similarity = learnt.atoms @ atoms.T
    assert sorted(similarity.argmax(axis=1)) == list(range(6))
    assert similarity.max(axis=1).min() > 0.95


def test_planted_sub_groups_are_recovered(found) -> None:
    learnt, _, atoms, weights = found
    owner_of = (learnt.atoms @ atoms.T).argmax(axis=1)
    assert np.mean(owner_of[hard_groups(learnt.weights)] == weights.argmax(axis=0)) > 0.98


def test_atoms_have_unit_length_positive_weights_in_sum_and_come_by_their_weight(found) -> None:
    learnt = found[0]
    assert_allclose(np.linalg.norm(learnt.atoms, axis=1), 1)
    assert (learnt.weights.sum(axis=1) > 0).all()
    assert (np.diff(np.abs(learnt.weights).sum(axis=1)) <= 1e-3).all()


def test_r2_is_the_share_of_variance_that_the_code_explains(found) -> None:
    learnt, signals, *_ = found
    rest = signals - learnt.weights.T @ learnt.atoms
    assert_allclose(learnt.r2, 1 - rest.var(axis=1) / signals.var(axis=1), atol=1e-4)


def test_an_atom_matches_the_nearest_of_each_other_seed_whatever_its_sign() -> None:
    atoms = np.eye(3)[:2]
    others = [np.array([[0, -1, 0], [0.6, 0, 0.8]]), np.eye(3)[1:]]
    assert_allclose(match(atoms, others), [0.3, 1.0])


def test_one_seed_has_nothing_to_match() -> None:
    signals, *_ = planted(n_neurons=60)
    assert np.isnan(learn_dictionary(signals, 3, 0.1, epochs=1).seed_match).all()


def test_the_same_key_gives_the_same_bytes() -> None:
    signals, *_ = planted(n_neurons=100)
    first, again = (learn_dictionary(signals, 5, 0.1, epochs=2, key=["a"]) for _ in range(2))
    assert first.atoms.tobytes() == again.atoms.tobytes()
    assert first.weights.tobytes() == again.weights.tobytes()


def test_more_atoms_than_neurons_are_refused() -> None:
    signals, *_ = planted(n_neurons=60)
    with pytest.raises(InputError, match="61 atoms for 60 neurons; lower n_atoms"):
        learn_dictionary(signals, 61, 0.1)


def test_codes_on_orthogonal_atoms_are_soft_thresholds() -> None:
    atoms = np.linalg.qr(np.random.default_rng(1).standard_normal((N_SAMPLES, 5)))[0].T
    signals, *_ = planted(n_neurons=40)
    projections = signals @ atoms.T
    shrunk = np.sign(projections) * np.maximum(np.abs(projections) - 0.05, 0)
    assert_allclose(sparse_weights(signals.astype(float), atoms, 0.05), shrunk, atol=1e-6)


def test_codes_equal_those_of_least_angle_regression() -> None:
    signals, atoms, _ = planted(n_neurons=20)
    found = sparse_weights(signals.astype(float), atoms, 0.1)
    lars = LassoLars(alpha=0.1 / N_SAMPLES, fit_intercept=False)
    for signal, weights in zip(signals.astype(float), found, strict=True):
        assert_allclose(weights, lars.fit(atoms.T, signal).coef_, atol=1e-4)


def test_signals_are_coded_alike_in_any_number_at_once(monkeypatch) -> None:
    signals, atoms, _ = planted(n_neurons=50)
    whole = code(signals, atoms, 0.1)
    monkeypatch.setattr("lmcortex.networks.dictionary.CHUNK", 7)
    parts = code(signals, atoms, 0.1)
    for one, other in zip(whole, parts, strict=True):
        assert_allclose(one, other, atol=1e-6)


# --- sub-groups -----------------------------------------------------------------------------------

WEIGHTS = np.array([[2.0, 0.0, 0.0, 1.0, -4.0], [-1.0, -3.0, 0.0, 0.0, 3.0]])


def test_a_neuron_belongs_hard_to_its_largest_weight_and_to_none_without_any() -> None:
    assert hard_groups(WEIGHTS).tolist() == [0, 1, -1, 0, 0]
    hard = membership(WEIGHTS, "hard")
    assert hard.tolist() == [[True, False, False, True, True], [False, True, False, False, False]]


def test_a_neuron_belongs_softly_to_every_atom_with_a_weight() -> None:
    assert membership(WEIGHTS, "soft").sum(axis=1).tolist() == [3, 3]


def test_layers_are_counted_and_described() -> None:
    members = np.array([[1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]], bool)
    layers = np.array([1, 1, 2, 2, 1, 1, 2, 2])
    profile = layer_profile(members, layers, 2)
    assert profile.counts.tolist() == [[2, 2], [0, 0]]
    assert_allclose(profile.depth, [0.75, np.nan])
    assert_allclose(profile.entropy, [np.log(2), np.nan])
    assert_allclose(profile.p, [1, np.nan])


def test_a_sub_group_of_one_layer_is_not_spread_by_chance() -> None:
    members = np.zeros((1, 100), bool)
    members[0, :20] = True
    profile = layer_profile(members, np.repeat([1, 2], 50), 2)
    # 20 and 0 where 10 and 10 are expected: chi-squared of 20 with one degree of freedom.
    assert_allclose(profile.p, 7.744e-6, rtol=1e-3)


# --- from words to samples ------------------------------------------------------------------------

ITEMS = pd.DataFrame({"run": ["1"] * 30 + ["2"] * 30, "time": [*(2.0 * np.arange(30))] * 2})
WORDS = pd.DataFrame(
    {
        "run": ["1"] * 40 + ["2"] * 40,
        "onset": [*(1.4 * np.arange(40))] * 2,
        "duration": 0.3,
    }
)


@pytest.fixture
def neurons(tmp_path):
    rng = np.random.default_rng(2)
    arrays = {f"word/{n:02d}": rng.standard_normal((80, 5)).astype(np.float32) for n in (1, 2)}
    arrays["word/02"][:, 3] = 0  # it says nothing
    path = tmp_path / "neurons.safetensors"
    storage.write_arrays(arrays, path, {}, rows="words")
    return path, arrays


def test_neurons_pass_through_the_hrf_and_are_standardised_in_each_run(neurons) -> None:
    path, arrays = neurons
    signals = neuron_signals(path, ITEMS, WORDS)
    operator = hrf_operator(*(WORDS[n].to_numpy()[:40] for n in ("onset", "duration")),
                            ITEMS["time"].to_numpy()[:30])  # fmt: skip
    for run, rows in enumerate((slice(0, 40), slice(40, 80))):
        heard = operator @ arrays["word/01"][rows, 2]
        expected = (heard - heard.mean()) / heard.std() / np.sqrt(60)
        assert_allclose(signals.values[2, 30 * run : 30 * run + 30], expected, atol=1e-6)


def test_a_silent_neuron_is_left_out_and_counted(neurons) -> None:
    signals = neuron_signals(neurons[0], ITEMS, WORDS)
    assert signals.layers.tolist() == [1] * 5 + [2] * 4
    assert (signals.n_dropped, signals.values.shape) == (1, (9, 60))


def test_a_sweep_and_matched_neurons_are_further_sets(neurons) -> None:
    signals = neuron_signals(neurons[0], ITEMS, WORDS)
    spec = {"n_atoms": 4, "penalty": 0.1, "epochs": 1, "seeds": 1}
    arrays = learn_atoms(
        signals, ITEMS["run"].to_numpy(), {**spec, "sweep": [2, 3], "matched_neurons": 6}
    )
    shapes = {key: array.shape for key, array in arrays.items() if key.endswith(("atoms", "r2"))}
    assert shapes == {
        **{"main/atoms": (4, 60), "main/r2": (9,), "atoms-2/atoms": (2, 60), "atoms-2/r2": (9,)},
        **{"atoms-3/atoms": (3, 60), "atoms-3/r2": (9,)},
        **{"neurons-6/atoms": (4, 60), "neurons-6/r2": (6,)},
        "phase-randomised/atoms": (4, 60),
        "held-out/r2": (1,),
    }


def test_neurons_left_out_are_explained_where_they_follow_the_others_atoms_and_not_otherwise():
    signals, _, _ = planted(noise=0.2)
    assert held_out_r2(signals, 6, 0.1, epochs=4, seeds=2).mean() > 0.7
    alone = unit_rows(np.random.default_rng(3).standard_normal((600, N_SAMPLES)))
    within = learn_dictionary(alone, 60, 0.1, epochs=4).r2.mean()
    assert held_out_r2(alone, 60, 0.1, epochs=4, seeds=1).mean() < within - 0.05


def test_the_table_describes_the_layers_of_hard_and_soft_sub_groups() -> None:
    learnt = Learnt(WEIGHTS, np.array([1, 1, 2, 2, 2]), {}, {}, 0)
    rows = pd.DataFrame({"encoder": [], "atlas": [], "associated": [], "sign": [], "atom": [],
                         "network": []}).astype({"associated": bool})  # fmt: skip
    labelled = Labelled(rows, pd.DataFrame(), {}, np.zeros(2), "regions")
    table = atom_table(learnt, {"main": labelled})
    assert table["layers_hard"].tolist() == ["1,2", "1,0"]
    assert table["layers_soft"].tolist() == ["1,2", "2,1"]
    assert table["n_soft"].tolist() == [3, 3]
    assert_allclose(table["depth_soft"], [5 / 6, 2 / 3])
