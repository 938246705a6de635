"""Networks of the brain: regions, and labelled images on any grid, named as BIDS derivatives."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml

from lmcortex.datasets import Story, load_dataset
from lmcortex.errors import InputError
from lmcortex.networks.atlases import atlas_of_regions, find_atlases, read_atlas
from lmcortex.plan import load_plan
from lmcortex.responses import Files, prepare
from lmcortex.stimuli import sample_items
from lmcortex.volumes import labels_at

AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = [-9, -5, -1]
FLIPPED = AFFINE.copy()  # the first axis runs from right to left
FLIPPED[0] = [-2.0, 0, 0, 9]
SHAPE = (10, 6, 4)
NAMES = ["LH_Vis_1", "RH_Vis_1", "LH_Lang_1", "Thalamus"]


def write_parcels(folder: Path, affine: np.ndarray) -> tuple[Path, Path]:
    """Write four parcels, slabs along x from -10 to 10 mm, the last of no network."""
    x = affine[0, 0] * np.arange(SHAPE[0]) + affine[0, 3]
    labels = np.broadcast_to((np.digitize(x, [-10, -4, 0, 6]))[:, None, None], SHAPE)
    image = folder / "atlas-Toy_space-MNI152NLin2009cAsym_res-02_dseg.nii.gz"
    nib.save(nib.Nifti1Image(labels.astype(np.int16), affine), image)
    table = folder / "atlas-Toy_dseg.tsv"
    networks = ["Vis", "Vis", "Lang", "n/a"]
    rows = {"index": [1, 3, 2, 4], "name": NAMES, "network": networks}
    pd.DataFrame(rows).to_csv(table, sep="\t", index=False)
    return image, table


PLACES = np.array([[-8.4, 0, 0], [-3, 1, 2], [2.9, 0, 0], [8, 0, 0], [70, 0, 0]])


@pytest.mark.parametrize("affine", [AFFINE, FLIPPED])
def test_a_place_has_the_label_of_its_voxel_whichever_way_the_axes_run(tmp_path, affine):
    image, _ = write_parcels(tmp_path, affine)
    assert labels_at(image, PLACES).tolist() == [1, 2, 3, 4, 0]


def test_labels_with_one_name_are_one_network_and_those_without_are_of_none(tmp_path):
    found = read_atlas("toy", *write_parcels(tmp_path, AFFINE), "network", PLACES)
    assert found.networks == ["Lang", "Vis"]
    assert found.inside.astype(int).tolist() == [[0, 1, 0, 0, 0], [1, 0, 1, 0, 0]]


def test_a_network_outside_of_all_voxels_is_named(tmp_path):
    with pytest.raises(InputError, match="network `Lang` holds no voxel of the responses"):
        read_atlas("toy", *write_parcels(tmp_path, AFFINE), "network", PLACES[[0, 2]])


def test_the_networks_of_regions_are_the_rois_of_targets():
    found = atlas_of_regions(np.array(["b", "a", "b"]))
    assert found.networks == ["a", "b"]
    assert found.inside.astype(int).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_labelled_images_come_before_regions_and_one_region_is_none(tmp_path):
    image, table = write_parcels(tmp_path, AFFINE)
    files = [str(image)], [str(table)], [{"name": "toy", "column": "network"}]
    several, one = np.array(list("aabbb")), np.array(["brain"] * 5)
    assert [each.name for each in find_atlases(several, PLACES, *files)] == ["toy", "regions"]
    assert [each.name for each in find_atlases(one, PLACES, *files)] == ["toy"]
    with pytest.raises(InputError, match="all targets are of `brain`; name two networks"):
        find_atlases(one, PLACES, [], [], [])


# --- a dataset whose files are named as BIDS derivatives ------------------------------------------

BOLD = (
    "{root}/derivatives/fmriprep/sub-{subject}/func/sub-{subject}_task-tale_run-{run}"
    "_space-MNI152NLin2009cAsym_res-2_desc-clean_bold.nii.gz"
)
SAMPLES = 20


def write_bids(root: Path) -> Path:
    """Write two people and two runs, a mask, an atlas and a study that asks for networks."""
    rng = np.random.default_rng(0)
    for subject in ("01", "02"):
        for run in ("1", "2"):
            path = Path(BOLD.format(root=root, subject=subject, run=run))
            path.parent.mkdir(parents=True, exist_ok=True)
            bold = rng.standard_normal((*SHAPE, SAMPLES)).astype(np.float32)
            nib.save(nib.Nifti1Image(bold, AFFINE), path)
    mask = root / "derivatives/fmriprep/space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE), mask)
    image, table = write_parcels(root, FLIPPED)
    words = {"onset": [1.0, 2.0], "duration": 0.3, "word": ["a", "tale"], "run": ["1", "2"]}
    pd.DataFrame(words).to_csv(root / "task-tale_events.tsv", sep="\t", index=False)
    dataset = {
        "title": "A tale", "kind": "story", "subjects": ["01", "02"], "runs": ["1", "2"],
        "tr": 2.0, "samples": SAMPLES, "words": "${TALE}/task-tale_events.tsv", "mask": str(mask),
        "responses": BOLD.replace("{root}", "${TALE}"),
        "networks": {"toy": {"image": f"${{TALE}}/{image.name}", "names": f"${{TALE}}/{table.name}",
                             "column": "network"}},
    }  # fmt: skip
    study = {"title": "T", "datasets": ["tale"], "fits": ["runs"], "models": [{"name": "suite-s"}]}
    for folder in ("datasets", "studies"):
        (root / "config" / folder).mkdir(parents=True)
    for name in ("config", "models", "fits", "suites", "windows"):
        (root / "config" / f"{name}.yaml").symlink_to(CONFIG / f"{name}.yaml")
    text = yaml.safe_dump(dataset)
    (root / "config/datasets/tale.yaml").write_text(text)
    text = yaml.safe_dump({**study, "analyses": ["networks"]})
    (root / "config/studies/tale.yaml").write_text(text)
    return root / "config"


CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TALE", str(tmp_path))
    return write_bids(tmp_path)


def test_voxels_named_as_bids_derivatives_are_labelled_by_the_atlas(config, tmp_path):
    tale = load_dataset("tale", config)
    assert isinstance(tale, Story)
    given = tale.recording_files("02")
    assert given["responses"] == [BOLD.format(root=tmp_path, subject="02", run=r) for r in "12"]
    files = Files(list(given["responses"]), mask=str(given["mask"]))
    spec = {"dataset": "tale", **tale.responses_spec()}
    prepared, _ = prepare(files, sample_items(spec | {"start": 0.0}), spec, subject="02")
    places = np.stack([prepared[axis].to_numpy() for axis in "xyz"], axis=1)
    named, own = tale.network_files(), tale.network_columns()
    atlas = find_atlases(prepared["roi"].to_numpy(), places, *named.values(), own)[0]
    x = places[:, 0]
    expected = np.stack([(x > -4) & (x < 0), (x < -4) | ((x > 0) & (x < 6))])
    assert np.array_equal(atlas.inside, expected)


def test_a_study_of_networks_needs_two_of_them_before_anything_runs(config):
    assert load_plan({"study": "tale"}, config).networked_datasets() == ["tale"]
    path = config / "datasets/tale.yaml"
    content = yaml.safe_load(path.read_text())
    del content["networks"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="dataset tale has one ROI; name two or more"):
        load_plan({"study": "tale"}, config)


def test_a_missing_labelled_image_is_named(config, tmp_path):
    (tmp_path / "atlas-Toy_dseg.tsv").unlink()
    with pytest.raises(InputError, match=r"atlas-Toy_dseg.tsv: no such file"):
        load_dataset("tale", config)
