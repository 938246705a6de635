"""The literal `snakemake --profile slurm`, without Slurm: what each job asks the cluster for."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from workspace import ROOT, Workspace, new_workspace

STUDY = """
title: A study
datasets: [DATASET]
fits: [shuffled-5]
models: [{name: suite-l}]
baselines: [word-rate]
untrained: false
"""
DATASET = """
title: Sentences
kind: sentences
stimuli: data/stimuli.csv
responses: data/responses.csv
subjects: ["01", "02"]
targets: [{target: a, roi: IFG, hemisphere: L}]
"""
GPU_RULES = {"extract_features", "fit_encoding"}
CPU_RULES = {  # of this study; what is missing here is a local rule
    "train_suite",
    "prepare_stimuli",
    "prepare_responses",
    "average_responses",
    "estimate_ceiling",
    "compute_baseline",
    "score_roi",
}
KILLED = "extract_features"
STAND_INS = Path(__file__).with_name("slurm_stand_ins")


@dataclass(frozen=True)
class Asked:
    """A call of sbatch."""

    options: list[str]

    def option(self, name: str) -> str | None:
        """Return the value of `--name=value` or `--name value`; None where it is not given."""
        for option, following in zip(self.options, [*self.options[1:], ""], strict=True):
            if option == name:
                return following
            if option.startswith(f"{name}="):
                return option.partition("=")[2]
        return None

    @property
    def job(self) -> str:
        """Return the comment: `rule_NAME_wildcards_VALUES`."""
        return self.option("--comment") or ""

    @property
    def rule(self) -> str:
        return self.job.partition("_wildcards_")[0].removeprefix("rule_")


@dataclass(frozen=True)
class Login:
    """The login node of a cluster, with a clone of the repository."""

    space: Workspace

    def run(self, *command: str) -> str:
        """Run a command and return what it prints."""
        own = [self.space.path("bin"), STAND_INS, Path(sys.executable).parent]
        path = os.pathsep.join([*map(str, own), os.environ["PATH"]])
        done = subprocess.run(
            command,
            cwd=self.space.folder,
            env=os.environ | {"PATH": path, "JOBS": str(self.space.path("jobs"))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def asked(self) -> list[Asked]:
        """Return the calls of sbatch, in their order."""
        calls = self.space.path("jobs").glob("*.asked")
        in_order = sorted(calls, key=lambda path: path.stat().st_mtime_ns)
        return [Asked(path.read_text().splitlines()) for path in in_order]


def new_login(folder: Path) -> Login:
    space = new_workspace(folder, stand_ins=True)
    for name in ("Snakefile", "src"):
        space.path(name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "profiles", space.path("profiles"))
    space.path("slurm").symlink_to(os.readlink(ROOT / "slurm"))
    with space.path("slurm/config.yaml").open("a") as profile:
        profile.write("slurm-init-seconds-before-status-checks: 1\n")
    for name, dataset in (("mine", "sentences"), ("simulated", "simulated-sentences")):
        study = STUDY.replace("DATASET", dataset)
        space.path(f"config/studies/{name}.yaml").write_text(study)
    space.path("config/datasets/sentences.yaml").write_text(DATASET)
    space.path("data").mkdir()
    for name in ("stimuli.csv", "responses.csv"):
        space.path(f"data/{name}").write_text(f"{name}\n")
    space.path("jobs").mkdir()
    space.path("jobs/killed").write_text("")
    return Login(space)


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Login:
    """A cluster with an account and two partitions; one job was killed in the study's run."""
    login = new_login(tmp_path_factory.mktemp("cluster"))
    login.run(sys.executable, "workflow/scripts/write_site.py", "--site", "slurm/site.yaml")
    login.space.edit("slurm/site.yaml", "gpu_model:\n", "gpu_model: a100\n")
    login.space.edit("config/config.yaml", "study: demo", "study: mine")
    login.space.path("jobs/killed").write_text(f"rule_{KILLED}")
    login.run("snakemake", "--profile", "slurm")
    return login


@pytest.fixture(scope="module")
def asked(login: Login) -> list[Asked]:
    return login.asked()


@pytest.fixture(scope="module")
def needs(login: Login) -> dict[str, dict[str, str]]:
    """What each job needs, by the comment that it has on the cluster."""
    shown = login.run("snakemake", "--profile", "slurm", "--dry-run", "--forceall", "--cores", "8")
    jobs = re.findall(r"^rule (\w+):\n((?: .*\n)+)", shown, re.MULTILINE)
    return {comment(rule, lines): resources(lines) for rule, lines in jobs}


def comment(rule: str, lines: str) -> str:
    values = re.findall(r"[\w-]+=([^,\n]+)", lines.partition("wildcards: ")[2].partition("\n")[0])
    return f"rule_{rule}_wildcards_{'_'.join(values)}"


def resources(lines: str) -> dict[str, str]:
    threads = re.search(r"^ +threads: (\d+)", lines, re.MULTILINE)
    named = re.findall(r"(\w+)=([^,\n]+)", lines.partition("resources: ")[2])
    return dict(named) | {"threads": threads[1] if threads else "1"}


def test_all_but_local_rules_are_submitted(asked: list[Asked]) -> None:
    assert {call.rule for call in asked} == CPU_RULES | GPU_RULES


def test_a_job_asks_for_the_memory_and_time_and_processors_of_its_rule(
    asked: list[Asked], needs: dict[str, dict[str, str]]
) -> None:
    first_attempts = {call.job: call for call in reversed(asked)}
    for job, call in first_attempts.items():
        assert call.option("--mem") == needs[job]["mem_mb"], job
        assert call.option("-t") == needs[job]["runtime"], job
        assert call.option("--cpus-per-task") == needs[job]["threads"], job


def test_gpu_rules_and_only_they_ask_for_a_gpu(asked: list[Asked]) -> None:
    for call in asked:
        is_gpu = call.rule in GPU_RULES
        assert call.option("--gpus") == ("a100:1" if is_gpu else None), call.job
        assert call.option("-p") == ("gpu" if is_gpu else "cpu"), call.job


def test_every_job_is_charged_to_the_account(asked: list[Asked]) -> None:
    assert {call.option("-A") for call in asked} == {"lab"}


def test_a_second_attempt_asks_for_more(asked: list[Asked]) -> None:
    first, second = [call for call in asked if call.rule == KILLED]
    assert int(second.option("--mem") or 0) > int(first.option("--mem") or 0)
    assert int(second.option("-t") or 0) > int(first.option("-t") or 0)


def test_the_run_completes(login: Login) -> None:
    assert login.space.path("results/studies/mine/tables/provenance.parquet").exists()


def test_a_second_run_does_nothing(login: Login) -> None:
    assert "Nothing to be done" in login.run("snakemake", "--profile", "slurm")


def test_another_study_runs_with_the_same_site(login: Login) -> None:
    stimuli = "results/datasets/simulated-sentences/stimuli/items.parquet"
    login.run("snakemake", "--profile", "slurm", "--config", "study=simulated", "--", stimuli)
    call = login.asked()[-1]
    assert call.rule == "simulate_stimuli"
    assert (call.option("-A"), call.option("-p")) == ("lab", "cpu")


def test_the_site_file_works_as_it_comes(login: Login, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(login.space.folder, copy, symlinks=True)
    new = Login(Workspace(copy, stand_ins=True))
    shutil.copyfile(ROOT / "profiles/slurm/site.yaml", copy / "slurm/site.yaml")
    features = "results/datasets/sentences/features/suite-l/step350.safetensors"
    new.run("snakemake", "--profile", "slurm", "--forcerun", "extract_features", "--", features)
    call = new.asked()[-1]
    assert call.option("-A") is None
    assert call.option("-p") == "cpu"  # the default partition
    assert call.option("--gpus") == "1"


def test_a_start_beside_jobs_of_an_earlier_run_is_refused(tmp_path: Path) -> None:
    space = new_workspace(tmp_path, stand_ins=True)
    squeue = space.path("bin/squeue")
    squeue.write_text(f"#!/bin/sh\necho '7|lmcortex_1f2e|{tmp_path}'\n")
    squeue.chmod(0o755)
    stimuli = "results/datasets/simulated-sentences/stimuli/items.parquet"
    refused = space.snakemake(stimuli, check=False)
    assert refused.returncode == 1
    assert "jobs of an earlier run here: 7" in refused.stdout + refused.stderr
    squeue.write_text("#!/bin/sh\n")
    space.snakemake(stimuli)
    assert space.path(stimuli).exists()
