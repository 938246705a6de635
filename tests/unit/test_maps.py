"""Maps hold the nested scores of voxels where the voxels are, and what follows from them."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from nilearn.image import swap_img_hemispheres
from scipy import stats

from lmcortex import maps, reporting, storage
from lmcortex.config import Fit, Site, Study
from lmcortex.datasets import Story
from lmcortex.errors import InputError
from lmcortex.figures import maps as figures
from lmcortex.figures.style import View
from lmcortex.plan import Plan
from lmcortex.registry import Model

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
PLACES = np.array([[-6.0, 0, 3], [6, 0, 3], [-2, 4, 3], [2, 4, 3], [-6, 8, -1]])
# Of two layers, two folds and five voxels: by their mean inner r fold 0 takes layer 1, and fold 1
# layer 0.
INNER = np.array([[[1, 1, 1, 1, 0], [3, 0, 0, 0, 0]], [[5, 0, 0, 0, 0], [1, 0, 1, 0, 0.5]]]) / 10
TEST = np.arange(20.0).reshape(2, 2, 5) / 20
NESTED = (TEST[1, 0] + TEST[0, 1]) / 2


def write_fit(path: Path, subjects: dict[str, np.ndarray], layers: list[int]) -> str:
    """Write a file of fits, of each subject's test r (layer, fold, target)."""
    n, places = len(subjects), np.tile(PLACES, (len(subjects), 1))
    target = {
        "target": np.tile([f"v{i}" for i in range(5)], n),
        "subject": np.repeat([*subjects], 5),
    }
    target |= dict(zip("xyz", places.T, strict=True))
    dims = ("layer", "fold", "target")
    fit = xr.Dataset(
        {
            "r_test": (dims, np.concatenate(list(subjects.values()), axis=-1)[layers]),
            "r_inner": (dims, np.tile(INNER, n)[layers]),
            "response": (("sample", "target"), np.zeros((3, 5 * n))),
        },
        {"layer": layers, **{name: ("target", values) for name, values in target.items()}},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_dataset(fit, path, {})
    return str(path)


def test_a_voxel_has_its_test_score_at_the_layer_that_each_fold_prefers(tmp_path: Path) -> None:
    file = write_fit(tmp_path / "layer-00-01/sub-01.nc", {"01": TEST}, [0, 1])
    found = maps.nested_scores([file], "01", "nested")
    assert np.allclose(found["r"], NESTED)
    assert np.array_equal(found[maps.AXES], PLACES)


def test_layers_of_several_files_are_one_choice(tmp_path: Path) -> None:
    files = [write_fit(tmp_path / f"layer-0{i}/sub-01.nc", {"01": TEST}, [i]) for i in (0, 1)]
    assert np.allclose(maps.nested_scores(files, "01", "nested")["r"], NESTED)


def test_the_published_choice_takes_the_best_test_score_of_each_voxel(tmp_path: Path) -> None:
    file = write_fit(tmp_path / "layer-00-01/sub-01.nc", {"01": TEST}, [0, 1])
    found = maps.nested_scores([file], "01", "test")
    assert np.allclose(found["r"], TEST.mean(axis=1).max(axis=0))


@pytest.mark.parametrize("together", [True, False])
def test_the_group_is_the_mean_over_people(tmp_path: Path, together: bool) -> None:
    people = {"01": TEST, "02": TEST + 0.1, "average": TEST + 0.5}
    blocks = {"all": people} if together else {name: {name: r} for name, r in people.items()}
    files = [
        write_fit(tmp_path / f"layer-00-01/sub-{name}.nc", block, [0, 1])
        for name, block in blocks.items()
    ]
    found = maps.nested_scores(files, "group", "nested")
    assert np.allclose(found["r"], NESTED + 0.05)
    assert np.allclose(maps.nested_scores(files, "average", "nested")["r"], NESTED + 0.5)


def test_people_with_other_voxels_have_no_mean(tmp_path: Path, monkeypatch) -> None:
    first = write_fit(tmp_path / "layer-00-01/sub-01.nc", {"01": TEST}, [0, 1])
    monkeypatch.setattr(f"{__name__}.PLACES", PLACES + np.array([0, 1, 0]))
    second = write_fit(tmp_path / "layer-00-01/sub-02.nc", {"02": TEST}, [0, 1])
    with pytest.raises(InputError, match="target v0: not in the same place in all 2 subjects"):
        maps.nested_scores([first, second], "group", "nested")


def test_a_written_map_is_read_by_other_software_where_the_voxels_are(tmp_path: Path) -> None:
    storage.write_image(maps.as_image(NESTED, PLACES), tmp_path / "a.nii.gz", {})
    image = nib.load(tmp_path / "a.nii.gz")
    index = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), PLACES)).astype(int)
    assert np.allclose(image.get_fdata()[tuple(index.T)], NESTED)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms() == (4, 4, 4)
    assert image.get_sform(coded=True)[1] == 4  # MNI 152


def test_left_minus_right_pairs_mirrored_voxels_and_leaves_the_others_out() -> None:
    places = np.vstack([PLACES, [[0, 0, 3], [-6, 4, 3], [14, 0, 3]]]) + 0.0
    places[:, 0] = np.array([-8, 8, -4, 4, -8, 0, -8, 16])
    image = maps.as_image(np.array([5.0, 3, 2, 4, 9, 9, 9, 9]), places)
    values, where = maps.voxels(maps.left_minus_right(image))
    assert sorted(zip(where[:, 0], values, strict=True)) == [(-8, 2), (-4, -2)]


def test_a_flipped_brain_is_lateralized_the_other_way() -> None:
    rng = np.random.default_rng(0)
    places = 4.0 * np.argwhere(np.ones((9, 3, 3))) - [16, 4, 4]
    image = maps.as_image(rng.standard_normal(len(places)), places)
    values, where = maps.voxels(maps.left_minus_right(image))
    flipped, same = maps.voxels(maps.left_minus_right(swap_img_hemispheres(image)))
    assert len(values) == 4 * 9 and (where[:, 0] < 0).all()
    assert np.array_equal(where, same) and np.allclose(values, -flipped)


def test_slopes_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    n_params = np.array([1e8, 4e8, 1e9, 7e9, 1.3e10])
    scores = rng.standard_normal((5, 40)) + np.outer(np.log10(n_params), rng.standard_normal(40))
    images = [maps.as_image(row, 4.0 * np.argwhere(np.ones((4, 5, 2)))) for row in scores]
    found = maps.slope_table(images, n_params)
    lines = [stats.linregress(np.log10(n_params), column) for column in scores.T]
    for name, field in (("slope", "slope"), ("intercept", "intercept"), ("p", "pvalue")):
        assert np.allclose(found[name], [getattr(line, field) for line in lines], rtol=1e-4)
    assert np.allclose(found["q"], stats.false_discovery_control(found["p"]))
    assert (found["n_models"] == 5).all()
    assert found["hemisphere"].tolist() == ["M"] * 10 + ["R"] * 30


def test_maps_of_other_voxels_are_refused() -> None:
    one, other = maps.as_image(NESTED, PLACES), maps.as_image(NESTED[1:], PLACES[1:])
    with pytest.raises(InputError, match="5 and 4 voxels"):
        maps.subtract(one, other)


def plan_of(n_models: int, **dataset: Any) -> Plan:
    """Return the plan of a study of one story and of networks of growing size."""
    story = {"kind": "story", "title": "S", "words": "w.tsv", "samples": 100, "tr": 2, **dataset}
    shape = {"folder": "x", "n_layers": 2, "width": 8}
    models = {
        f"net-{i}": Model(name=f"net-{i}", family="ab"[i % 2], n_params=10**i, **shape)
        for i in range(1, n_models + 1)
    }
    fit = {"kind": "story", "pooling": "word", "response": "glover", "folds": {"scheme": "runs"}}
    return Plan(
        name="s",
        study=Study(
            title="S", datasets=["d"], fits=["f"], models=[{"name": name} for name in models]
        ),
        site=Site(),
        datasets={"d": Story.model_validate(story)},
        fits={"f": Fit.model_validate(fit)},
        models=models,
        suites={},
    )


VOXELS = {"responses": "sub-{subject}.nii", "mask": "m.nii"}
REGIONS = {
    "responses": "{subject}.csv",
    "targets": [{"target": "a", "roi": "A", "hemisphere": "L"}],
}


def test_regions_have_no_maps() -> None:
    plan = plan_of(3, **REGIONS, subjects=["01", "02"])
    assert plan.voxel_maps("{subject}") == plan.slope_maps() == []
    assert reporting.mapped_runs(plan, "d") == reporting.cortex_pages(plan, "d", "f") == []


@pytest.mark.parametrize(
    ("people", "maps_of"),
    [
        ({"subjects": ["01"]}, {"01"}),
        ({"subjects": ["01", "02"]}, {"average", "group"}),
        ({"subjects": ["01", "02"], "average": False}, {"group"}),
        ({"subjects": ["01", "02"], "individuals": ["01"]}, {"average"}),
    ],
)
def test_voxels_have_maps_of_who_speaks_for_them(people, maps_of) -> None:
    plan = plan_of(1, **VOXELS, **people)
    assert set(plan.voxel_maps("{subject}")) == maps_of


def test_the_last_checkpoint_of_each_network_has_a_map_of_what_it_adds() -> None:
    plan = plan_of(2, **VOXELS, subjects=["01"])
    ends = [Path(file).name.partition("_model-")[2] for file in plan.added_maps()]
    minus = "checkpoint-main_sub-01_minus-random-embedding.nii.gz"
    assert ends == [f"net-1_{minus}", f"net-2_{minus}"]
    study = plan.study.model_copy(update={"baselines": ["word-rate"]})
    assert replace(plan, study=study).added_maps() == []


def test_slopes_need_three_models_of_known_size() -> None:
    assert plan_of(2, **VOXELS, subjects=["01"]).slope_maps() == []
    plan = plan_of(3, **VOXELS, subjects=["01"])
    assert len(plan.slope_maps()) == 1 and len(plan.sized_maps()) == 3
    assert plan.table("voxel_slopes") in plan.tables()


def test_the_largest_model_of_each_family_is_drawn_and_the_largest_of_all_is_last() -> None:
    plan = plan_of(4, **VOXELS, subjects=["01"])
    assert [run.model for run in reporting.mapped_runs(plan, "d")] == ["net-3", "net-4"]


@pytest.fixture
def drawn(monkeypatch) -> list[figures.Row]:
    """The rows of figures, which are not drawn."""
    rows: list[figures.Row] = []

    def keep(given, view, title, subtitle):
        rows.extend(given)
        return subtitle

    monkeypatch.setattr(figures, "draw", keep)
    return rows


def test_a_model_is_shown_with_what_it_adds_to_the_mean_of_the_seeds(drawn, tmp_path) -> None:
    names = ["model", "seed1", "seed2"]
    for name, less in zip(names, (0, 0.1, 0.3), strict=True):
        image = maps.as_image(NESTED - less, PLACES)
        storage.write_image(image, tmp_path / f"{name}.nii.gz", {})
    command = [sys.executable, str(SCRIPTS / "subtract_embedding.py"), "--scores", "model.nii.gz"]
    command += ["--embeddings", "seed1.nii.gz", "seed2.nii.gz", "--output", "added.nii.gz"]
    subprocess.run(command, cwd=tmp_path, check=True)
    scores, added = (maps.read_image(tmp_path / f"{name}.nii.gz") for name in ("model", "added"))
    figures.score_maps(scores, maps.left_minus_right(scores), added, View("d"))
    nested, added, sides = (maps.voxels(row.image)[0] for row in drawn)
    assert np.allclose(sorted(nested), sorted(NESTED))
    assert np.allclose(added, 0.2)
    expected = [NESTED[0] - NESTED[1], NESTED[2] - NESTED[3]]
    assert np.allclose(sorted(sides), sorted(expected), atol=1e-6)


def test_without_baselines_and_pairs_only_scores_are_shown(drawn) -> None:
    scores = maps.as_image(NESTED[[0, 2]], PLACES[[0, 2]])
    figures.score_maps(scores, maps.left_minus_right(scores), None, View("d"))
    assert [row.title for row in drawn] == ["nested r"]


@pytest.mark.parametrize(("q", "shown"), [([0.01, 0.2, 0.04, 0.9, 0.6], 2), ([0.5] * 5, None)])
def test_voxels_that_pass_the_false_discovery_rate_are_shown_once_more(drawn, q, shown) -> None:
    table = pd.DataFrame(PLACES, columns=maps.AXES).assign(
        dataset="d", fit="f", subject="group", slope=[1.0, 2, 3, 4, 5], q=q, n_models=3
    )
    other = table.assign(subject="average", slope=0.0)
    subtitle = figures.slope_maps(pd.concat([other, table]), View("d", "f", subject="group"))
    assert sorted(maps.voxels(drawn[0].image)[0]) == [1, 2, 3, 4, 5]
    if shown:
        assert sorted(maps.voxels(drawn[1].image)[0]) == [1, 3]
    else:
        assert len(drawn) == 1 and "no voxel has q < .05" in subtitle
