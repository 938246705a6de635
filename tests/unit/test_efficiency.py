"""What jobs used of what they asked for: from benchmarks, and from what sacct says."""

from pathlib import Path

import pytest

from lmcortex import costs, efficiency
from lmcortex.efficiency import comment, near_limits, read_sacct, read_uses, slurm_lines
from lmcortex.errors import InputError
from lmcortex.jobs import Job
from lmcortex.plan import Plan, load_plan

CONFIG = Path(__file__).resolve().parents[2] / "config"
FIT = {
    "dataset": "simulated-story",
    "fit": "runs",
    "model": "suite-l",
    "checkpoint": "step350",
    "layer": "00-04",
    "subject": "all",
}
# As sacct (Slurm 22.05) prints it: a job, its batch step, and the step that srun starts in it. The
# third job was cancelled and submitted again; the last but one belongs to another folder.
SACCT = """\
7|COMPLETED|600|60|4000M||billing=4,cpu=4,gres/gpu=1,mem=4000M,node=1|/home/me/lmcortex|sbatch --parsable --comment rule_fit_encoding_wildcards_simulated-story_runs_suite-l_step350_00-04_all -p gpu -t 60 --mem 4000 --wrap=python -m snakemake --snakefile 'a|b'
7.batch|COMPLETED|600|||177.19M|cpu=4,gres/gpu=1,mem=4000M,node=1||
7.extern|COMPLETED|600||||billing=4,cpu=4,gres/gpu=1,mem=4000M,node=1||
7.0|COMPLETED|590|||1822.81M|cpu=4,gres/gpu=1,mem=4000M,node=1||srun -n1 --cpu-bind=q python -m snakemake
8|CANCELLED by 0|30|60|4000M||billing=4,cpu=4,gres/gpu=1,mem=4000M,node=1|/home/me/lmcortex|sbatch --parsable --comment 'rule_fit_encoding_wildcards_simulated-story_runs_suite-l_step0_00-04_all' -t 60 --wrap=python
8.batch|CANCELLED|31|||100M|cpu=4||
9|COMPLETED|1800|60|4000M||billing=4,cpu=4,gres/gpu=1,mem=4000M,node=1|/home/me/lmcortex|sbatch --parsable --comment 'rule_fit_encoding_wildcards_simulated-story_runs_suite-l_step0_00-04_all' -t 60 --wrap=python
more of a command of several lines
10|COMPLETED|60|60|4000M||billing=1,cpu=1,mem=4000M,node=1|/home/me/other|sbatch --comment rule_fit_encoding_wildcards_simulated-story_runs_suite-l_step350_00-04_all
11|PENDING|0|Partition_Limit|900M|||/home/me/lmcortex|sbatch --comment rule_collect_scores -t 15
"""  # noqa: E501


def fit(mem_mb: int = 1400, minutes: int = 10, checkpoint: str = "step350") -> Job:
    wildcards = {**FIT, "checkpoint": checkpoint}
    output = f"results/fits/{checkpoint}-{mem_mb}-{minutes}.nc"
    return Job("fit_encoding", wildcards, mem_mb, minutes, 1, 1, output)


@pytest.fixture
def plan() -> Plan:
    return load_plan({"study": "demo", "device": "cpu"}, CONFIG)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measure(job: Job, seconds: float, peak_mb: str) -> None:
    path = Path(job.output.replace("results", "results/benchmarks") + ".tsv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\n{seconds}\t{peak_mb}\n")


def test_a_use_is_a_share_of_what_the_job_itself_may_have(plan, folder) -> None:
    job = fit(mem_mb=costs.HEADROOM_MB + 1000, minutes=10)
    measure(job, seconds=120, peak_mb="500")
    (use,) = read_uses(plan, [job, fit(checkpoint="step0")])  # the other has not run
    assert (use.memory, use.time) == (0.5, 0.2)
    expected = costs.estimator(plan)(job.rule, job.wildcards)
    assert use.memory_expected == pytest.approx(500 / expected.mem_mb)
    assert use.time_expected == pytest.approx(120 / expected.seconds)


def test_a_job_too_short_to_measure_used_no_memory(plan, folder) -> None:
    measure(fit(), seconds=0.1, peak_mb="-")
    assert read_uses(plan, [fit()])[0].memory == 0


@pytest.mark.parametrize(("seconds", "peak_mb"), [(541, "10"), (10, "901")], ids=["time", "memory"])
def test_a_job_near_a_limit_is_named(plan, folder, seconds, peak_mb) -> None:
    near, far = (fit(costs.HEADROOM_MB + 1000, 10, name) for name in ("step350", "step0"))
    measure(near, seconds, peak_mb)
    measure(far, 300, "500")
    first, *named = near_limits(read_uses(plan, [far, near]))
    assert first.startswith("1 of 2 jobs") and len(named) == 1 and near.name in named[0]


def test_each_submission_is_read_with_the_memory_of_its_steps() -> None:
    found = read_sacct(SACCT, Path("/home/me/lmcortex"))
    assert [one.state for one in found] == ["COMPLETED", "CANCELLED", "COMPLETED", "PENDING"]
    first = found[0]
    assert first.name == comment(fit())
    assert (first.seconds, first.minutes, first.gpus) == (600, 60, 1)
    assert (first.asked_mb, first.used_mb) == (4000, 2000)
    assert found[-1].minutes == 0


def test_slurm_tells_gpu_hours_and_what_ended_badly(monkeypatch) -> None:
    monkeypatch.setattr(efficiency, "ask_sacct", lambda: SACCT)
    jobs = [fit(), fit(checkpoint="step0")]
    *_, row, total = slurm_lines(jobs, Path("/home/me/lmcortex"))
    assert row.split() == [
        *("fit_encoding", "2", "3"),
        *("0.68", "0.68"),  # hours, of one GPU each
        *("50%", "50%"),
        *("1", "CANCELLED"),
    ]
    assert total.split()[0] == "total"


def test_without_slurm_one_line_says_so(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert slurm_lines([fit()], Path("/home/me/lmcortex")) == [
        "Slurm: there is no sacct on this machine."
    ]


def test_a_sacct_that_fails_is_quoted(tmp_path, monkeypatch) -> None:
    sacct = tmp_path / "sacct"
    sacct.write_text("#!/bin/sh\necho 'slurmdbd: Connection refused' >&2\nexit 1\n")
    sacct.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(InputError, match="Connection refused"):
        efficiency.ask_sacct()
