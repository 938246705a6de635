"""What `make plan` and `make efficiency` show: the jobs of Snakemake itself, none of them run."""

import re
import subprocess
import sys

import pytest
from workspace import ROOT, Workspace, new_workspace

STUDY = """
title: A study
datasets: [mine]
fits: [shuffled-5]
models:
  - {name: pythia-14m, checkpoints: [step1, step512]}
baselines: [word-rate]
"""
DATASET = """
title: Sentences
kind: sentences
stimuli: data/stimuli.csv
responses: data/responses.csv
subjects: ["01", "02"]
targets: [{target: a, roi: IFG, hemisphere: L}]
"""
GPU_JOBS = (
    2 + 1 + 2 + 1 + 1
)  # features and fits of two checkpoints and their twin; a baseline's fit


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    space = new_workspace(tmp_path_factory.mktemp("plan"), stand_ins=True)
    space.path("data").mkdir()
    for name in ("stimuli.csv", "responses.csv"):
        space.path("data").joinpath(name).write_text("item,text\na,One two three.\n")
    space.path("config/studies/mine.yaml").write_text(STUDY)
    space.path("config/datasets/mine.yaml").write_text(DATASET)
    space.edit("config/config.yaml", "study: demo", "study: mine")
    return space


def show(space: Workspace, what: str, *options: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "workflow" / "scripts" / f"show_{what}.py"
    command = [sys.executable, str(script), "--snakefile", str(space.snakefile), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=space.folder)


def counted(text: str) -> dict[str, int]:
    """Return the numbers of the first column, by rule."""
    rows = re.findall(r"^(\w+) +([\d,]+) ", text, re.MULTILINE)
    return {rule: int(number.replace(",", "")) for rule, number in rows if rule != "total"}


def test_the_plan_counts_the_jobs_of_a_dry_run_and_runs_none(space: Workspace) -> None:
    shown = show(space, "plan")
    assert shown.returncode == 0, shown.stderr
    jobs = space.planned()
    assert {rule: counted(shown.stdout)[rule] for rule in jobs} == jobs
    assert f"{sum(jobs.values())} jobs to do" in shown.stdout
    assert not space.path("results").exists()


def test_gpu_jobs_are_those_that_take_a_device(space: Workspace) -> None:
    assert f"GPU jobs    {GPU_JOBS}:" in show(space, "plan").stdout


def test_a_profile_says_where_gpu_jobs_run(space: Workspace) -> None:
    here, cluster = show(space, "plan"), show(space, "plan", "--profile", str(ROOT / "slurm"))
    assert "core-hours" in here.stdout and "GPU-hours" not in here.stdout
    assert "GPU-hours" in cluster.stdout


def test_a_wrong_study_is_one_short_error(space: Workspace) -> None:
    shown = show(space, "plan", "--config", "study=nothing")
    assert shown.returncode == 1 and shown.stdout == ""
    assert "config/studies/nothing.yaml: no such file" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_when_all_is_done_the_plan_is_empty_and_every_job_is_measured(space: Workspace) -> None:
    jobs = sum(space.planned().values())
    space.snakemake()
    assert show(space, "plan").stdout == "Study mine: nothing is left to do.\n"
    shown = show(space, "efficiency")
    assert f"{jobs} of {jobs} jobs were measured" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("Slurm: ")
    asked = {path.name for path in space.path("results/studies").rglob("*.parquet")}
    assert "scores.parquet" in asked  # listing all jobs has removed none of them
