"""What is on the left stays on the left: from volumes to tables, on the cortex and in parcels.

Voxels left of the midline follow the words of a made-up story, those on the right are noise. The
volume flipped must come out right, and the same volume stored from right to left must not.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lmcortex import config, encoding, maps, responses, scores, statistics, stimuli, storage
from lmcortex.errors import InputError
from lmcortex.figures import surface
from lmcortex.homologues import MOST_APART, halve_midline, pair_sides
from lmcortex.hrf import hrf_operator

ROOT = Path(__file__).resolve().parents[2]
EDGE, SHAPE = 8.0, (19, 23, 19)
AFFINE = np.diag([EDGE, EDGE, EDGE, 1.0])
AFFINE[:3, 3] = [-72, -104, -72]
RUNS, SAMPLES, TR, WIDTH = ["1", "2", "3"], 50, 2.0, 4
SPHERES = {
    name: {"spheres": [[-x, y, z], [x, y, z]], "radius": 14.0}
    for name, (x, y, z) in {"IFG": (48, 16, 16), "AGTPJ": (52, -56, 22)}.items()
}
PARCELS = {"IFG": {"labels": [1, 2]}, "AGTPJ": {"labels": [3, 4]}}
STORY = {
    "dataset": "toy",
    "kind": "story",
    "runs": RUNS,
    "samples": SAMPLES,
    "tr": TR,
    "start": 0.0,
    "trim": [2, 2],
    "detrend": {"polynomial": 1},
}
CELL = {"dataset": "toy", "fit": "runs", "model": "m", "checkpoint": "main", "n_layers": 0}


class Brain:
    """Volumes of a story of which only the left side hears, in a folder."""

    def __init__(self, folder: Path, flipped: bool, from_the_right: bool) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        n_words = int(SAMPLES * TR / 2)
        onsets = np.tile(np.arange(n_words) * 2.0, len(RUNS))
        self.words = pd.DataFrame(
            {"run": np.repeat(RUNS, n_words), "onset": onsets, "duration": 0.5, "word": "a"}
        )
        self.states = rng.standard_normal((len(self.words), WIDTH))
        self.items = stimuli.sample_items(STORY)
        place = np.moveaxis(np.indices(SHAPE), 0, -1) @ AFFINE[:3, :3] + AFFINE[:3, 3]
        left = place[..., 0] < 0
        frames = TR * np.arange(SAMPLES)
        self.affine = AFFINE.copy()
        if from_the_right:
            self.affine[0] = [-EDGE, 0, 0, AFFINE[0, 3] + EDGE * (SHAPE[0] - 1)]
        for run in RUNS:
            here = (self.words["run"] == run).to_numpy()
            words = self.words[here]
            heard = hrf_operator(words["onset"], words["duration"], frames) @ self.states[here]
            signal = (heard @ np.ones(WIDTH))[:, None, None, None]
            data = signal / signal.std() * left + rng.standard_normal((SAMPLES, *SHAPE))
            self._save(f"run-{run}", np.moveaxis(data, 0, -1), flipped, from_the_right)
        ball = np.linalg.norm((place - [0, -16, 4]) / [76, 96, 76], axis=-1) < 1
        self._save("mask", ball.astype(np.uint8), False, from_the_right)
        labels = np.zeros(SHAPE, np.int16)
        for number, (side, name) in enumerate((s, n) for n in SPHERES for s in (0, 1)):
            centre = SPHERES[name]["spheres"][side]
            labels[np.linalg.norm(place - centre, axis=-1) < 14] = number + 1
        self._save("atlas", labels, False, from_the_right)

    def _save(self, name: str, data: np.ndarray, flipped: bool, from_the_right: bool) -> None:
        for turned in (flipped, from_the_right):  # the second also turns the affine
            data = data[::-1] if turned else data
        nib.save(nib.Nifti1Image(data, self.affine), self.file(f"{name}.nii"))

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def responses(self, rois: dict) -> xr.Dataset:
        runs = [self.file(f"run-{run}.nii") for run in RUNS]
        files = responses.Files(runs, mask=self.file("mask.nii"), atlas=self.file("atlas.nii"))
        spec = {**STORY, "rois": rois}
        return responses.prepare(files, self.items, spec, subject="01")[0]

    def fit(self, prepared: xr.Dataset) -> xr.Dataset:
        encoding.use_device("cpu")
        features = self.file("features.safetensors")
        storage.write_arrays({"any/00": self.states.astype("f4")}, features, {}, rows="words")
        return encoding.fit_encoding(
            encoding.read_features(features, "word"),
            encoding.stack_responses([prepared], self.items),
            self.items,
            self.words,
            self.spec(),
        )

    def spec(self) -> dict:
        settings = config.load_fits(ROOT / "config")["runs"].model_dump(mode="json")
        few = {"n_permutations": 50, "n_resamples": 200}
        return {**settings, **CELL, **few, "predictions": "all", "dtype": "float64"}

    def table(self, fitted: xr.Dataset) -> pd.DataFrame:
        targets = fitted["target"].to_numpy()
        ceiling = pd.DataFrame({"subject": "01", "target": targets, "ceiling": 0.8})
        table, draws = scores.score_rois([fitted], ceiling, self.spec())
        about = {"role": "trained", "final": "main"}
        master = statistics.collect_scores([table], {"models": {"m": about}})
        return statistics.fit_lateralization(master, statistics.collect_draws([draws]))


@pytest.fixture(
    scope="module",
    params=[(False, False), (False, True), (True, False)],
    ids=["left", "left, stored from the right", "flipped"],
)
def brain(request, tmp_path_factory) -> tuple[Brain, str, str]:
    """A brain, the side that hears, and the other."""
    flipped, _ = request.param
    made = Brain(tmp_path_factory.mktemp("brain"), *request.param)
    return made, *(("R", "L") if flipped else ("L", "R"))


@pytest.mark.parametrize("rois", [SPHERES, PARCELS], ids=["spheres", "parcels"])
def test_the_side_that_hears_is_the_one_that_is_predicted(brain, rois):
    made, hears, deaf = brain
    prepared = made.responses(rois)
    assert (np.sign(prepared["x"]) == np.where(prepared["hemisphere"] == "L", -1, 1)).all()
    fitted = made.fit(prepared)
    r = fitted["r_test"].mean(("layer", "fold"))
    assert r[fitted["hemisphere"] == hears].min() > 0.3
    assert abs(r[fitted["hemisphere"] == deaf].mean()) < 0.1
    table = made.table(fitted).set_index("roi")
    assert set(table.index) == {"IFG", "AGTPJ", "all"}
    sign = 1 if hears == "L" else -1
    for low, high in (("ci_low", "ci_high"), ("normalized_ci_low", "normalized_ci_high")):
        near_zero = table[low] if sign > 0 else -table[high]
        assert (near_zero > 0.2).all()
    assert (sign * table["difference_normalized"] > 0.3).all()


def test_a_map_shows_the_side_that_hears_on_its_side_of_the_cortex(brain):
    made, hears, _ = brain
    fitted = made.fit(made.responses({}))
    r = fitted["r_test"].mean(("layer", "fold")).to_numpy()
    places = np.stack([fitted[axis] for axis in "xyz"], axis=1)
    cortex = surface.project(maps.as_image(r, places))
    means = {side: np.nanmean(cortex[name]) for name, side in (("left", "L"), ("right", "R"))}
    assert means.pop(hears) > 0.3
    assert abs(means.popitem()[1]) < 0.1


# --- pairs of sides -------------------------------------------------------------------------------


def parcels(*rows: tuple) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["roi", "hemisphere", "x", "y", "z"])
    return table.assign(target=table["hemisphere"] + table["roi"])


def test_sides_are_paired_by_name_and_mirrored_centroid():
    two = [("A", "L", -50, 10, 0), ("A", "R", 46, 13, 0), ("B", "L", -40, -60, 30)]
    pairs = pair_sides(parcels(*two), "toy")
    assert pairs.to_dict("list") == {"roi": ["A"], "apart": [5.0]}  # B has no right side


def test_sides_of_one_name_that_lie_elsewhere_are_refused():
    swapped = parcels(
        ("A", "L", -50, 10, 0),
        ("A", "R", 50, -60, 0),
        ("B", "L", -50, -60, 0),
        ("B", "R", 50, 10, 0),
    )
    message = "roi `A` are no mirror images: their centres are 70 mm apart .* `B` is 0 mm away"
    with pytest.raises(InputError, match=message):
        pair_sides(swapped, "toy")


def test_a_target_on_the_other_side_than_it_says_is_refused():
    with pytest.raises(InputError, match="`LA` is of hemisphere L but lies at x = 50 mm"):
        pair_sides(parcels(("A", "L", 50, 10, 0)), "toy")


def test_a_target_of_the_midline_that_lies_beside_it_is_refused():
    with pytest.raises(InputError, match="`MA` is of hemisphere M but lies at x = 4 mm"):
        pair_sides(parcels(("A", "M", 4, 10, 0)), "toy")


def test_the_first_half_of_the_midline_goes_left_and_an_odd_one_right():
    halved = halve_midline(np.array(list("LMLMRMR")))
    assert "".join(halved) == "LLLRRRR"


def test_targets_without_a_place_are_not_compared():
    nowhere = parcels(("A", "L", np.nan, np.nan, np.nan), ("A", "R", 50, 0, 0))
    assert pair_sides(nowhere, "toy").empty


def centroids(image: nib.Nifti1Image, names: dict[int, tuple[str, str]]) -> pd.DataFrame:
    labels = np.asarray(image.dataobj).astype(int)
    index = np.argwhere(labels > 0)
    places = pd.DataFrame(nib.affines.apply_affine(image.affine, index), columns=list("xyz"))
    centres = places.groupby(labels[labels > 0]).mean()
    return parcels(
        *((*names[label], *place) for label, *place in centres.itertuples() if label in names)
    )


def test_parcels_of_a_symmetrical_atlas_pair_up(data_dir):
    """Language parcels of the left hemisphere and their mirror images."""
    image = nib.load(data_dir / "atlases/language_parcels/langParcels_symmetrical.nii.gz")
    names = {n + 18 * right: (f"parcel{n}", "LR"[right]) for n in range(1, 14) for right in (0, 1)}
    pairs = pair_sides(centroids(image, names), "parcels")
    assert len(pairs) == 13
    assert pairs["apart"].max() < 2


def test_parcels_that_are_numbered_on_each_side_do_not(data_dir):
    """Schaefer's SomMot 6 is another region on the left than on the right."""
    folder = data_dir / "atlases/schaefer"
    atlas = "atlas-Schaefer2018N100n7Tian2020S1"
    image = nib.load(next(folder.glob(f"{atlas}_space-*_dseg.nii.gz"))).slicer[::4, ::4, ::4]
    table = pd.read_csv(folder / f"{atlas}_dseg.tsv", sep="\t").set_index("index")["label"]
    names = {n: (label[3:], label[0]) for n, label in table.items() if "_SomMot_" in label}
    found = centroids(image, names)
    with pytest.raises(InputError, match="no mirror images"):
        pair_sides(found, "schaefer")
    assert (
        pair_sides(found[found["roi"].isin(["SomMot_1", "SomMot_4"])], "")["apart"] < MOST_APART
    ).all()
