"""The incrementality contract: each change runs exactly the jobs that it must."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace import ROOT, Workspace, new_workspace

STUDY = """
title: A study
datasets: [sentences, voxels]
fits: [shuffled-5]
models:
  - {name: pythia-14m, checkpoints: [step1, step512]}
baselines: [word-rate]
"""
SENTENCES = """
title: Sentences
kind: sentences
stimuli: data/stimuli.csv
responses: data/responses.csv
subjects: ["01", "02"]
targets:
  - {target: a, roi: IFG, hemisphere: L}
  - {target: b, roi: IFG, hemisphere: R}
"""
VOXELS = """
title: Voxels
kind: story
words: data/words.tsv
responses: data/sub-{subject}.nii
mask: data/mask.nii
subjects: ["01", "02"]
samples: 100
tr: 2
voxelwise: true
rois:
  IFG: {center: [-50, 18, 20]}
"""
N_RUNS = 4  # step1, step512, the untrained twin, word-rate
N_FITS = N_RUNS * (1 + 3)  # one job for both subjects and their mean; one each for the voxels'


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the study has been run once."""
    space = new_workspace(tmp_path_factory.mktemp("finished"), stand_ins=True)
    data = space.path("data")
    data.mkdir()
    for name in (
        "stimuli.csv",
        "responses.csv",
        "words.tsv",
        "sub-01.nii",
        "sub-02.nii",
        "mask.nii",
    ):
        (data / name).write_text(f"{name}\n")
    (data / "sub-03.nii").write_text("a third subject\n")
    space.path("config/studies/mine.yaml").write_text(STUDY)
    space.path("config/datasets/sentences.yaml").write_text(SENTENCES)
    space.path("config/datasets/voxels.yaml").write_text(VOXELS)
    space.edit("config/config.yaml", "study: demo", "study: mine")
    space.edit("config/fits.yaml", "story-5:", "my-story:")
    space.edit("config/studies/mine.yaml", "[shuffled-5]", "[shuffled-5, my-story]")
    space.snakemake()
    return space


@pytest.fixture
def space(finished: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the finished workspace, as a clone with copied results is one."""
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy, symlinks=True)
    yield Workspace(copy, stand_ins=True)


def tables_and_figures(jobs: dict[str, int]) -> set[str]:
    prefixes = ("collect_", "fit_scaling", "fit_lateralization", "contrast_", "track_", "plot_")
    return {rule for rule in jobs if rule.startswith((*prefixes, "write_", "recover_"))}


def cells(jobs: dict[str, int]) -> dict[str, int]:
    """Leave the study's tables and figures out."""
    return {rule: n for rule, n in jobs.items() if rule not in tables_and_figures(jobs)}


def test_nothing_changed_runs_nothing(space: Workspace) -> None:
    assert space.planned() == {}


def test_the_first_run_has_one_fit_per_cell(finished: Workspace) -> None:
    jobs = finished.planned("--forceall")
    assert jobs["extract_features"] == 2 * 3
    assert jobs["compute_baseline"] == 2
    assert jobs["fit_encoding"] == N_FITS
    assert jobs["score_roi"] == 2 * N_RUNS
    assert jobs["map_scores"] == 2 * N_RUNS  # of the voxels alone: mean response, mean of scores


def test_a_new_checkpoint_runs_exactly_its_own_jobs(space: Workspace) -> None:
    space.edit("config/studies/mine.yaml", "[step1, step512]", "[step1, step64, step512]")
    jobs = space.planned()
    own = {"fetch_checkpoint": 1, "extract_features": 2, "fit_encoding": 1 + 3, "score_roi": 2}
    own["map_scores"] = 2
    assert cells(jobs) == own
    assert "collect_scores" in tables_and_figures(jobs)


def test_a_new_checkpoint_put_first_runs_the_same_jobs(space: Workspace) -> None:
    space.edit("config/studies/mine.yaml", "[step1, step512]", "[step0, step1, step512]")
    assert cells(space.planned())["extract_features"] == 2


def test_a_new_subject_extracts_nothing_and_fits_no_other_voxels(space: Workspace) -> None:
    space.edit("config/datasets/voxels.yaml", '["01", "02"]', '["01", "02", "03"]')
    jobs = space.planned()
    assert "extract_features" not in jobs and "fetch_checkpoint" not in jobs
    # The subject itself, and the mean over subjects that it changes.
    assert jobs["fit_encoding"] == N_RUNS * 2
    assert jobs["prepare_responses"] == 1


def test_a_new_roi_of_a_voxelwise_dataset_fits_nothing(space: Workspace) -> None:
    space.edit("config/datasets/voxels.yaml", "rois:\n", "rois:\n  TP: {center: [-48, 15, -27]}\n")
    assert cells(space.planned()) == {"score_roi": N_RUNS}


def test_new_parcels_fit_nothing_and_are_read_by_scores(space: Workspace) -> None:
    space.path("data/atlas.nii").write_text("labels\n")
    space.path("data/atlas.tsv").write_text("index\tname\n1\tTP\n2\tIFJ\n")
    parcels = "parcels: {image: data/atlas.nii, names: data/atlas.tsv}\n"
    space.edit("config/datasets/voxels.yaml", "rois:\n", f"{parcels}rois:\n")
    assert cells(space.planned()) == {"score_roi": N_RUNS}
    asked = space.snakemake("-n", "-p", "--quiet", "progress").stdout
    assert "score_roi.py --parcels data/atlas.nii --names data/atlas.tsv --fits" in asked


def test_a_new_fit_extracts_nothing(space: Workspace) -> None:
    space.edit("config/studies/mine.yaml", "[shuffled-5,", "[shuffled-5, blocked-5,")
    assert cells(space.planned()) == {"fit_encoding": N_RUNS, "score_roi": N_RUNS}


def test_a_ridge_setting_extracts_nothing(space: Workspace) -> None:
    space.edit("config/fits.yaml", "seed: 0}", "seed: 0}\n  alphas: {low: -2}")
    assert cells(space.planned()) == {"fit_encoding": N_RUNS, "score_roi": N_RUNS}


def test_the_number_of_permutations_fits_nothing(space: Workspace) -> None:
    space.edit("config/fits.yaml", "seed: 0}", "seed: 0}\n  n_permutations: 100")
    assert cells(space.planned()) == {"score_roi": N_RUNS}


def test_an_edited_response_runs_its_dependents_alone(space: Workspace) -> None:
    space.path("data/sub-01.nii").write_text("another value\n")
    jobs = cells(space.planned())
    assert "extract_features" not in jobs and "prepare_stimuli" not in jobs
    assert jobs["prepare_responses"] == 1
    assert jobs["fit_encoding"] == N_RUNS * 2  # of that subject and of the mean


def test_touching_every_file_runs_nothing(space: Workspace) -> None:
    for path in (*space.folder.rglob("config/**/*"), *space.folder.rglob("data/*")):
        os.utime(path)
    assert space.planned() == {}


@pytest.mark.parametrize(
    "options",
    [
        ["--config", "device=cpu"],
        ["--set-threads", "fit_encoding=2"],
        ["--set-resources", "fit_encoding:mem_mb=9999"],
        ["--profile", str(ROOT / "profiles" / "slurm")],
    ],
    ids=["device", "threads", "memory", "profile"],
)
def test_how_a_job_is_run_does_not_run_it_again(space: Workspace, options: list[str]) -> None:
    assert space.planned(*options) == {}


@pytest.fixture
def clone(space: Workspace) -> Workspace:
    """The workspace with a copy of the workflow's code in it, every file just written."""
    space.path("workflow").unlink()
    for name in ("Snakefile", "workflow", "src"):
        source = ROOT / name
        target = space.folder / name
        ignore = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, target)
    return space


def planned_with_own_code(clone: Workspace, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    monkeypatch.setenv("PYTHONPATH", str(clone.path("src")))
    return clone.planned()


def test_a_fresh_clone_runs_nothing(clone: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned_with_own_code(clone, monkeypatch) == {}


def test_a_comment_runs_nothing(clone: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    clone.edit("src/lmcortex/folds.py", '"""', '"""Another docstring. ')
    with clone.path("src/lmcortex/folds.py").open("a") as file:
        file.write("# A comment.\n")
    assert planned_with_own_code(clone, monkeypatch) == {}


def test_a_real_edit_runs_its_stage_and_what_follows(
    clone: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clone.path("src/lmcortex/folds.py").open("a") as file:
        file.write("LEAST_GAP = 3\n")
    jobs = cells(planned_with_own_code(clone, monkeypatch))
    follows = {"score_roi": 2 * N_RUNS, "map_scores": 2 * N_RUNS}
    assert jobs == {"fit_encoding": N_FITS, **follows}
