"""What a study's jobs used of what they asked for, as Snakemake and Slurm measured it."""

import math
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lmcortex import costs
from lmcortex.errors import InputError
from lmcortex.forecast import amount, lay_out
from lmcortex.jobs import Job
from lmcortex.plan import Plan
from lmcortex.provenance import measured

NEAR = 0.9  # of what was asked for: too near a limit
SHOWN = 20  # such jobs are named
DAYS = 60  # of Slurm's records
HEADER = (
    *("rule", "jobs", "MB asked for", "used, median", "most"),
    *("minutes asked for", "used, median", "most", "MB / expected", "minutes / expected"),
)
SLURM_HEADER = ("rule", "jobs", "submitted", "hours", "GPU-hours", "memory", "time", "ended badly")
# The submitted command, which holds the comment, comes last: it may hold the separator.
FIELDS = (
    *("JobIDRaw", "State", "ElapsedRaw", "TimelimitRaw", "ReqMem", "MaxRSS", "AllocTRES"),
    *("WorkDir", "SubmitLine"),
)


class Use(NamedTuple):
    """What a job used, as shares of what it asked for and of what it was expected to need.

    Memory that is asked for the inner Snakemake of a cluster is not the job's: it does not count.
    """

    job: Job
    memory: float
    time: float
    memory_expected: float
    time_expected: float


def efficiency(plan: Plan, jobs: Sequence[Job]) -> str:
    """Compare what a study's jobs asked for with what they used.

    Parameters
    ----------
    jobs : all jobs of the study, from `jobs.list_jobs`.
    """
    uses = read_uses(plan, jobs)
    lines = [f"Study {plan.name}: {len(uses):,} of {len(jobs):,} jobs were measured."]
    if uses:
        lines += ["", *lay_out([HEADER, *by_rule(uses)]), "", *near_limits(uses)]
    return "\n".join([*lines, "", *slurm_lines(jobs, Path.cwd())])


def read_uses(plan: Plan, jobs: Iterable[Job]) -> list[Use]:
    """Read the benchmarks of the jobs that have one."""
    estimate = costs.estimator(plan)
    uses = []
    for job in jobs:
        used = measured(job.output)
        if math.isnan(used["wall_s"]):
            continue
        cost = estimate(job.rule, job.wildcards)
        memory = 0.0 if math.isnan(used["peak_mb"]) else used["peak_mb"]
        uses.append(
            Use(
                job,
                memory=memory / (job.mem_mb - costs.HEADROOM_MB),
                time=used["wall_s"] / 60 / job.minutes,
                memory_expected=memory / cost.mem_mb,
                time_expected=used["wall_s"] / cost.seconds,
            )
        )
    return uses


def by_rule(uses: Iterable[Use]) -> list[tuple[str, ...]]:
    """Return a row of text for each rule."""
    groups: dict[str, list[Use]] = {}
    for use in uses:
        groups.setdefault(use.job.rule, []).append(use)
    return [
        (
            rule,
            f"{len(group):,}",
            _range(use.job.mem_mb for use in group),
            *_shares(use.memory for use in group),
            _range(use.job.minutes for use in group),
            *_shares(use.time for use in group),
            _shares(use.memory_expected for use in group)[0],
            _shares(use.time_expected for use in group)[0],
        )
        for rule, group in groups.items()
    ]


def near_limits(uses: Sequence[Use]) -> list[str]:
    """Name the jobs that came near a limit, the nearest first."""
    near = sorted(uses, key=lambda use: max(use.memory, use.time), reverse=True)
    near = [use for use in near if max(use.memory, use.time) >= NEAR]
    if not near:
        return [f"No job used {NEAR:.0%} of what it asked for."]
    return [
        f"{len(near):,} of {len(uses):,} jobs used {NEAR:.0%} or more of what they asked for:",
        *(
            f"  {use.job.name}: {use.memory:.0%} of the memory, {use.time:.0%} of the time"
            for use in near[:SHOWN]
        ),
    ]


def _range(numbers: Iterable[int]) -> str:
    found = sorted(numbers)
    return f"{found[0]:,}" if found[0] == found[-1] else f"{found[0]:,}-{found[-1]:,}"


def _shares(numbers: Iterable[float]) -> tuple[str, str]:
    found = sorted(numbers)
    return f"{statistics.median(found):.0%}", f"{found[-1]:.0%}"


# --- Slurm ----------------------------------------------------------------------------------------


class Submission(NamedTuple):
    """A job that was handed to Slurm: how it ended, seconds, minutes of its limit, MB, GPUs."""

    name: str
    state: str
    seconds: int
    minutes: int
    asked_mb: float
    used_mb: float
    gpus: int


def slurm_lines(jobs: Iterable[Job], folder: Path) -> list[str]:
    """Say what Slurm did with the jobs of a study that were submitted in a folder."""
    names = {comment(job): job.rule for job in jobs}
    try:
        found = [one for one in read_sacct(ask_sacct(), folder) if one.name in names]
    except InputError as error:
        return [f"Slurm: {error}."]
    if not found:
        return [f"Slurm: no job of this study was submitted here within {DAYS} days."]
    groups: dict[str, list[Submission]] = {}
    for one in found:
        groups.setdefault(names[one.name], []).append(one)
    groups["total"] = found
    return [
        f"Slurm, the last {DAYS} days; shares are of what was asked for:",
        "",
        *lay_out([SLURM_HEADER, *(_slurm_row(rule, group) for rule, group in groups.items())]),
    ]


def _slurm_row(rule: str, group: Sequence[Submission]) -> tuple[str, ...]:
    hours = [one.seconds / 3600 for one in group]
    on_gpu = sum(hour * one.gpus for hour, one in zip(hours, group, strict=True))
    ended = Counter(one.state for one in group)
    for fine in ("COMPLETED", "RUNNING", "PENDING"):
        ended.pop(fine, None)
    return (
        rule,
        f"{len({one.name for one in group}):,}",
        f"{len(group):,}",
        amount(sum(hours)),
        amount(on_gpu),
        _shares(one.used_mb / one.asked_mb for one in group if one.asked_mb)[1],
        _shares(one.seconds / 60 / one.minutes for one in group if one.minutes)[1],
        ", ".join(f"{n:,} {state}" for state, n in ended.items()),
    )


def comment(job: Job) -> str:
    """Return what the Slurm plugin of Snakemake calls a job, in the comment that it submits."""
    return "_".join([f"rule_{job.rule}", *(["wildcards"] * bool(job.wildcards)), *_values(job)])


def _values(job: Job) -> list[str]:
    return [value.replace("/", "_") for value in job.wildcards.values()]


def ask_sacct() -> str:
    """Return what Slurm has recorded of this user's jobs.

    Raises
    ------
    InputError : there is no Slurm here, or it keeps no records.
    """
    command = ["sacct", "--parsable2", "--noheader", "--units=M", f"--format={','.join(FIELDS)}"]
    command += [f"--starttime=now-{DAYS}days"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError("there is no sacct on this machine") from None
    if done.returncode:
        raise InputError(f"sacct does not answer: {' '.join(done.stderr.split())}")
    return done.stdout


def read_sacct(text: str, folder: Path) -> list[Submission]:
    """Read the jobs that were submitted in a folder; a job's steps, one in another, run at once."""
    submissions: dict[str, Submission] = {}
    for line in text.splitlines():
        values = line.split("|", len(FIELDS) - 1)
        if len(values) < len(FIELDS):
            continue  # the rest of a submitted command of several lines
        row = dict(zip(FIELDS, values, strict=True))
        number, _, step = row["JobIDRaw"].partition(".")
        if step and number in submissions:
            one = submissions[number]
            submissions[number] = one._replace(used_mb=one.used_mb + _mb(row["MaxRSS"]))
        elif not step and row["WorkDir"] == str(folder):
            submissions[number] = _submission(row)
    return list(submissions.values())


def _submission(row: Mapping[str, str]) -> Submission:
    said = re.search(r"--comment[ =]'?([^\s']+)", row["SubmitLine"])
    gpus = re.search(r"gres/gpu=(\d+)", row["AllocTRES"])
    limit = row["TimelimitRaw"]
    return Submission(
        name=said[1] if said else "",
        state=row["State"].split()[0],  # CANCELLED by 1000
        seconds=int(row["ElapsedRaw"]),
        minutes=int(limit) if limit.isdigit() else 0,
        asked_mb=_mb(row["ReqMem"]),
        used_mb=0.0,
        gpus=int(gpus[1]) if gpus else 0,
    )


def _mb(text: str) -> float:
    """Read `1500M`, or `1500.25M`; empty where nothing was measured."""
    number = re.match(r"[\d.]+", text)
    return float(number[0]) if number else 0.0
