"""Planted sub-groups that drive known networks are recovered from NIfTI files, mask and atlas.

`python tests/unit/test_network_recovery.py` prints how well.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lmcortex import storage
from lmcortex.hrf import hrf_operator
from lmcortex.networks import group, subjects
from lmcortex.networks.atlases import atlas_of_regions
from lmcortex.networks.atoms import MAIN, learn_atoms, neuron_signals, read_sets
from lmcortex.networks.groups import hard_groups
from lmcortex.networks.maps import RIDGE
from lmcortex.responses import Files, prepare

N_SAMPLES, N_SUBJECTS, TR = 300, 6, 1.5
N_GROUPS, NEURONS_OF_GROUP, N_LAYERS = 6, 50, 3
# Sub-group -> label of the network that it drives, and how; the last two drive nothing.
DRIVEN = {0: (1, 1.0), 1: (2, 1.0), 2: (3, 1.0), 3: (4, -1.0)}
SHAPE = (8, 8, 5)
AFFINE = np.diag([4.0, 4, 4, 1])
AFFINE[:3, 3] = [-14, -14, -8]
NOISE = 2.0
SPEC = {"n_null": 99, "level": 0.05, "top_share": 0.1, "dice": 0.2, "n_draws": 100}
ITEMS = pd.DataFrame({"item": [*map(str, range(N_SAMPLES))], "run": "1"})
ITEMS["time"] = TR * np.arange(N_SAMPLES)
WORDS = pd.DataFrame({"run": "1", "onset": np.arange(0, TR * N_SAMPLES, 0.5), "duration": 0.4})


class Recovered(NamedTuple):
    """Share of neurons in the right sub-group, and of each sub-group its atom's label and Dice."""

    match_rate: float
    labels: dict[int, set[tuple[str, str]]]
    dice: dict[int, float]


def simulate(folder: Path) -> tuple[Path, np.ndarray, list[str]]:
    """Write what neurons say to words, a mask, an atlas and one image per subject."""
    rng = np.random.default_rng(6)
    latents = rng.standard_normal((len(WORDS), N_GROUPS))
    owners = np.tile(np.arange(N_GROUPS), NEURONS_OF_GROUP)
    said = latents[:, owners] + 0.5 * rng.standard_normal((len(WORDS), len(owners)))
    layers = np.array_split(said.astype(np.float32), N_LAYERS, axis=1)
    arrays = {f"word/{n:02d}": np.ascontiguousarray(a) for n, a in enumerate(layers, start=1)}
    neurons = folder / "neurons.safetensors"
    storage.write_arrays(arrays, neurons, {}, rows="words")

    # Each network is a slab from front to back, in both hemispheres.
    atlas = np.zeros(SHAPE, np.int16)
    for label in range(1, 5):
        atlas[1:-1, 2 * label - 2 : 2 * label, 1:-1] = label
    for name, data in (("atlas", atlas), ("mask", (atlas > 0).astype(np.int16))):
        nib.save(nib.Nifti1Image(data, AFFINE), folder / f"{name}.nii.gz")
    operator = hrf_operator(WORDS["onset"].to_numpy(), WORDS["duration"].to_numpy(),
                            ITEMS["time"].to_numpy())  # fmt: skip
    heard = operator @ latents
    heard = (heard - heard.mean(axis=0)) / heard.std(axis=0)
    images = []
    for subject in range(N_SUBJECTS):
        data = NOISE * rng.standard_normal((*SHAPE, N_SAMPLES))
        for latent, (label, sign) in DRIVEN.items():
            data[atlas == label] += sign * heard[:, latent]
        images.append(str(folder / f"sub-{subject + 1}_bold.nii.gz"))
        nib.save(nib.Nifti1Image((100 + data).astype(np.float32), AFFINE), images[-1])
    return neurons, owners, images


def recover(folder: Path) -> Recovered:
    neurons, owners, images = simulate(folder)
    regions = {f"net{label}": {"labels": [label]} for label in range(1, 5)}
    spec = {"dataset": "d", "kind": "story", "runs": ["1"], "samples": N_SAMPLES, "tr": TR}
    spec |= {"trim": [0, 0], "detrend": None, "rois": regions}
    paths = []
    for number, image in enumerate(images, start=1):
        files = Files([image], mask=str(folder / "mask.nii.gz"), atlas=str(folder / "atlas.nii.gz"))
        prepared, _ = prepare(files, ITEMS, spec, subject=str(number))
        paths.append(str(folder / f"sub-{number}.nc"))
        storage.write_dataset(prepared, paths[-1], {})

    runs = ITEMS["run"].to_numpy()
    signals = neuron_signals(neurons, ITEMS, WORDS)
    learning = {"n_atoms": N_GROUPS, "penalty": 0.15, "epochs": 8, "seeds": 3}
    arrays = learn_atoms(signals, runs, {**learning, "sweep": [], "matched_neurons": None})
    storage.write_arrays(arrays, folder / "atoms.safetensors", {})
    sets = {MAIN: read_sets(folder / "atoms.safetensors")[MAIN]}
    folds = {"folds": {"scheme": "blocks", "n": 5, "gap": 16.0}}
    responses = [storage.read_dataset(path) for path in paths]
    maps = subjects.map_atoms(sets, responses, ITEMS, WORDS, folds)
    read = partial(subjects.read_responses, paths, ITEMS)
    rate = subjects.word_rate(ITEMS, WORDS)
    atlases = [atlas_of_regions(group.first_member(maps)["roi"].to_numpy())]
    found = group.label_set(MAIN, sets[MAIN], maps, read, runs, rate, atlases, SPEC)

    groups = hard_groups(arrays["main/weights"])
    shared = np.array(
        [np.bincount(groups[owners == g], minlength=N_GROUPS) for g in range(N_GROUPS)]
    )
    atom_of = shared.argmax(axis=1)
    matched = np.mean(groups == atom_of[owners])
    table = found.labels[found.labels["encoder"] == RIDGE]
    labels, dice = {}, {}
    for planted, atom in enumerate(atom_of):
        own = table[(table["atom"] == atom) & table["associated"]]
        labels[planted] = set(zip(own["network"], own["sign"], strict=True))
        if planted in DRIVEN:
            label, sign = DRIVEN[planted]
            part = 0 if sign > 0 else 1
            # The sign of an atom is a convention; that of planted neurons is positive.
            dice[planted] = float(found.groups[RIDGE].dice[part, atom, label - 1])
    return Recovered(float(matched), labels, dice)


@pytest.fixture(scope="module")
def recovered(tmp_path_factory) -> Recovered:
    return recover(tmp_path_factory.mktemp("voxels"))


def test_planted_sub_groups_are_found(recovered: Recovered) -> None:
    assert recovered.match_rate > 0.95


def test_the_networks_that_they_drive_are_found_with_their_sign(recovered: Recovered) -> None:
    for planted, (label, sign) in DRIVEN.items():
        named = f"net{label}", "active" if sign > 0 else "deactive"
        assert named in recovered.labels[planted]
        assert recovered.dice[planted] > 0.8


def test_other_sub_groups_drive_no_network(recovered: Recovered) -> None:
    assert sum(len(recovered.labels[planted]) for planted in (4, 5)) <= 1


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        print(recover(Path(place)))
