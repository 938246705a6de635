"""Planted sub-groups of neurons drive the networks that they are said to drive."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml

from lmcortex import costs, specs, storage
from lmcortex.datasets import load_dataset
from lmcortex.encoding.design import read_features, scale_columns
from lmcortex.errors import InputError
from lmcortex.networks.dictionary import learn_dictionary
from lmcortex.plan import Run, load_plan
from lmcortex.simulation import neurons, planted, signals, text

CONFIG = Path(__file__).resolve().parents[2] / "config"
PLAN = load_plan({"study": "demo-networks"}, CONFIG)
SETTINGS = PLAN.simulated("simulated-networks").model_dump(mode="json", exclude_none=True)
MODEL = "planted-10000000000"
SPEC = specs.plant_neurons(PLAN, "simulated-networks", MODEL, "main")
REGIONS = sorted(SETTINGS["regions"])
N_GROUPS = len(REGIONS) + SETTINGS["planted"]["neurons"]["idle"]
BEST_SHARE = -0.05 + 0.1 * 10  # of 10^10 parameters, by the file's own law


class Simulated(NamedTuple):
    """The latents and the neurons of each layer, as samples."""

    items: pd.DataFrame
    runs: list[planted.Run]
    latents: np.ndarray
    heard: np.ndarray
    layers: list[np.ndarray]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Neurons go through a file, as in the workflow."""
    stimuli = SETTINGS["stimuli"]
    items, words = text.simulate_story(stimuli, SETTINGS["tr"])
    runs = planted.runs_of("story", items, words)
    latents, regions = planted.draw_latents(runs, REGIONS, 1, stimuli["seed"])
    said = neurons.planted_neurons(latents, regions, runs, SPEC)
    path = tmp_path_factory.mktemp("neurons") / "main.safetensors"
    storage.write_arrays({f"word/{n:02d}": a for n, a in enumerate(said)}, path, {}, rows="words")
    layers = [planted.seen(runs, layer) for layer in read_features(path, "word").layers.values()]
    return Simulated(items, runs, latents, planted.seen(runs, latents), layers)


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    n = first.shape[1]
    return np.corrcoef(first, second, rowvar=False)[:n, n:]


def test_a_neuron_carries_its_region_s_latent_with_the_share_of_its_layer(simulated: Simulated):
    for layer, relative in zip(simulated.layers, SETTINGS["planted"]["layers"][1:], strict=True):
        found = correlations(simulated.heard, layer)
        groups = neurons.sub_groups(layer.shape[1], N_GROUPS)
        for region in range(len(REGIONS)):
            own = groups == region
            assert found[region, own].mean() == pytest.approx(BEST_SHARE * relative, abs=0.05)
            assert abs(found[region, ~own].mean()) < 0.05


def test_the_size_of_the_neurons_is_reckoned(simulated: Simulated):
    n_words, n_neurons = len(simulated.latents), sum(layer.shape[1] for layer in simulated.layers)
    cost = costs.plant_neurons(PLAN, "simulated-networks", MODEL)
    assert 1 <= cost.disk_mb * costs.MIB / (4 * n_words * n_neurons) < 1.6


def test_the_mean_of_a_sub_group_drives_its_network_and_no_other(simulated: Simulated):
    unrelated = np.random.default_rng(0).standard_normal((2, len(simulated.latents), 48))
    voxels = signals.simulate_responses(
        simulated.items,
        simulated.runs,
        {region: simulated.latents[:, [i]] for i, region in enumerate(REGIONS)},
        dict(enumerate(unrelated)),
        "01",
        {
            "dataset": "d",
            "regions": SETTINGS["regions"],
            "signal": {
                **SETTINGS["signal"],
                "states": {"layer": 1},
                "noise": 0.0,
            },
        },
    )
    groups = neurons.sub_groups(simulated.layers[2].shape[1], N_GROUPS)
    means = [simulated.layers[2][:, groups == group].mean(axis=1) for group in range(N_GROUPS)]
    driven = correlations(np.stack(means, axis=1), voxels["response"].to_numpy())
    for group in range(N_GROUPS):
        for region, rois in enumerate(SETTINGS["regions"][name] for name in REGIONS):
            share = driven[group, voxels["roi"].isin(list(rois)).to_numpy()]
            expected = np.sqrt(SETTINGS["signal"]["variance"]["latents"])
            if group == region:
                assert np.allclose(share, expected, atol=0.05)
            else:
                assert abs(share.mean()) < 0.1


def test_atoms_find_the_planted_sub_groups(simulated: Simulated):
    runs = simulated.items["run"].to_numpy()
    scaled = np.vstack([scale_columns(layer, runs)[0].T for layer in simulated.layers])
    found = learn_dictionary(scaled / np.sqrt(scaled.shape[1]), 8, 0.08, epochs=4, seeds=2)
    atoms, rates = neurons.match_atoms(found.weights, N_GROUPS)
    assert len(set(atoms)) == N_GROUPS
    assert rates.min() > 0.9


def perfect_weights(n_atoms: int) -> np.ndarray:
    """Each sub-group g in the atom ``n_atoms - 1 - g``, as far as there are atoms."""
    groups = neurons.sub_groups(30 * N_GROUPS, N_GROUPS)
    return (groups == np.arange(n_atoms)[::-1, None]).astype(np.float32)


def test_each_sub_group_has_an_atom_of_its_own():
    atoms, rates = neurons.match_atoms(perfect_weights(N_GROUPS), N_GROUPS)
    assert atoms.tolist() == list(range(N_GROUPS))[::-1]
    assert (rates == 1).all()


def test_with_too_few_atoms_some_sub_groups_have_none():
    atoms, rates = neurons.match_atoms(perfect_weights(N_GROUPS - 2), N_GROUPS)
    assert (atoms == -1).sum() == 2 and (rates[atoms == -1] == 0).all()


def label_table(dice: float, associated: bool) -> pd.DataFrame:
    """Atom 5 - g overlaps network g by `dice`, every other one by 0, and deactive parts by 1."""
    rows: list[dict[str, Any]] = []
    names = [next(iter(SETTINGS["regions"][region])) for region in REGIONS]
    for atom in range(N_GROUPS):
        for number, name in enumerate(names):
            own = atom == N_GROUPS - 1 - number
            known = {"dataset": "d", "model": MODEL, "checkpoint": "main", "encoder": "ridge"}
            known |= {"atom_set": "main", "atom": atom, "network": name}
            found = {"dice": dice * own, "associated": associated and own}
            rows.append({**known, "sign": "active", **found})
            rows.append({**known, "sign": "deactive", "dice": 1.0, "associated": True})
    return pd.DataFrame(rows)


def recovered(labels: pd.DataFrame) -> pd.DataFrame:
    networks = {"d": {"model": MODEL, "checkpoint": "main"}}
    spec = {"datasets": {"d": SETTINGS}, "networks": networks}
    return neurons.recover_groups(labels, {"d": perfect_weights(N_GROUPS)}, spec)


def test_networks_that_are_found_are_said_to_be_inside():
    table = recovered(label_table(0.9, associated=True))
    assert table["inside"].all()
    counts = {"match_rate": 4, "network_dice": 4, "network": 4}
    assert table["effect"].value_counts().to_dict() == counts
    dice = table.loc[table["effect"] == "network_dice", "recovered"]
    assert np.allclose(dice, 0.9)


def test_networks_that_are_missed_are_said_to_be_outside():
    table = recovered(label_table(0.3, associated=False))
    assert set(table.loc[~table["inside"], "effect"]) == {"network_dice", "network"}


def test_voxels_are_the_points_of_the_grid_nearest_to_the_centre():
    points = signals.ball(33)  # all within a distance of 2
    assert len({tuple(point) for point in points}) == 33
    assert (points**2).sum(axis=1).max() == 4
    assert signals.ball(3).tolist() == [[0, 0, 0], [0, -1, 0], [0, 1, 0]]


def test_no_voxel_is_of_two_networks():
    table = signals.target_table(SETTINGS["regions"], SETTINGS["signal"]["targets"])
    assert not table[["x", "y", "z"]].duplicated().any()
    assert ((table["x"] < 0) == (table["hemisphere"] == "L")).all()


def test_neurons_are_planted_only_where_each_region_has_one_latent(tmp_path: Path):
    (tmp_path / "datasets").mkdir()
    wrong = {**SETTINGS, "stimuli": {**SETTINGS["stimuli"], "latents": 2}}
    (tmp_path / "datasets" / "mine.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(InputError, match=r"stimuli.latents 2; expected a story and 1"):
        load_dataset("mine", tmp_path)


def test_the_planted_model_is_organized_beside_the_study_s_models():
    run = Run(MODEL, "main")
    assert PLAN.networked_runs("simulated-networks") == [*PLAN.runs, run]
    assert PLAN.planted_networks() == {"simulated-networks": run}
    assert load_plan({"study": "demo"}, CONFIG).network_truth() == {}
