"""What a study will cost, before anything runs: jobs, hours, memory, disk and downloads."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from lmcortex import costs, registry
from lmcortex.costs import Cost
from lmcortex.jobs import Job
from lmcortex.plan import Plan

Estimate = Callable[[str, Mapping[str, str]], Cost]
HEADER = ("rule", "jobs", "on a GPU", "hours", "asked for", "MB asked for", "disk")


class Row(NamedTuple):
    """Jobs of one rule: hours expected and asked for, the largest request of memory, disk (MiB)."""

    rule: str
    jobs: int
    gpu_jobs: int
    hours: float
    hours_asked: float
    mem_mb: int
    disk_mb: float


def forecast(plan: Plan, jobs: Sequence[Job]) -> str:
    """Say what the jobs that a study still needs will cost.

    Parameters
    ----------
    jobs : from `jobs.list_jobs`.
    """
    if not jobs:
        return f"Study {plan.name}: nothing is left to do."
    estimate = costs.estimator(plan)
    rows = by_rule(jobs, estimate)
    table = [HEADER, *map(_cells, rows), _cells(total(rows))]
    return "\n".join(
        [
            f"Study {plan.name}: {len(jobs):,} jobs to do. {_machine(plan)}",
            "",
            *lay_out(table),
            "",
            *_summary(plan, jobs, estimate, rows),
        ]
    )


def by_rule(jobs: Iterable[Job], estimate: Estimate) -> list[Row]:
    """Add up the jobs of each rule, in the order in which rules come first."""
    rows: dict[str, Row] = {}
    for job in jobs:
        cost = estimate(job.rule, job.wildcards)
        row = Row(
            rule=job.rule,
            jobs=1,
            gpu_jobs=int(job.gpus > 0),
            hours=cost.seconds / 3600,
            hours_asked=job.minutes / 60,
            mem_mb=job.mem_mb,
            disk_mb=cost.disk_mb,
        )
        rows[job.rule] = add(rows[job.rule], row) if job.rule in rows else row
    return list(rows.values())


def add(one: Row, other: Row) -> Row:
    return Row(
        rule=one.rule,
        jobs=one.jobs + other.jobs,
        gpu_jobs=one.gpu_jobs + other.gpu_jobs,
        hours=one.hours + other.hours,
        hours_asked=one.hours_asked + other.hours_asked,
        mem_mb=max(one.mem_mb, other.mem_mb),
        disk_mb=one.disk_mb + other.disk_mb,
    )


def total(rows: Sequence[Row]) -> Row:
    return reduce(add, rows)._replace(rule="total")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.rule,
        f"{row.jobs:,}",
        f"{row.gpu_jobs:,}" if row.gpu_jobs else "",
        amount(row.hours),
        amount(row.hours_asked),
        f"{row.mem_mb:,}",
        size(row.disk_mb),
    )


def _machine(plan: Plan) -> str:
    if costs.on_gpu(plan):
        return "GPU jobs are reckoned as on a GPU."
    other = ", which may find no GPU" if plan.site.device == "auto" else ""
    return f"GPU jobs are reckoned as on one core (device: {plan.site.device}{other})."


def _summary(
    plan: Plan, jobs: Sequence[Job], estimate: Estimate, rows: Sequence[Row]
) -> Iterable[str]:
    on_gpu = [job for job in jobs if job.gpus]
    others = [job for job in jobs if not job.gpus]
    unit = "GPU-hours" if costs.on_gpu(plan) else "core-hours"
    yield f"{'GPU jobs':<12}{_hours(on_gpu, estimate, unit)}"
    yield f"{'other jobs':<12}{_hours(others, estimate, 'core-hours')}"
    largest = max(jobs, key=lambda job: job.mem_mb)
    yield f"{'memory':<12}{largest.mem_mb:,} MB asked for at most, by {largest.name}"
    needed = max(jobs, key=lambda job: estimate(job.rule, job.wildcards).gpu_mb)
    if gpu_mb := estimate(needed.rule, needed.wildcards).gpu_mb:
        yield f"{'GPU memory':<12}{size(gpu_mb)} expected at most, by {needed.name}"
    yield f"{'disk':<12}{size(sum(row.disk_mb for row in rows))} of results"
    yield f"{'downloads':<12}{_downloads(plan, jobs)}"
    if n_recordings := sum(job.rule == "fetch_recording" for job in jobs):
        yield f"{'recordings':<12}{n_recordings:,} parts of archives, unless they are on disk"
    yield from _too_large(plan, jobs)


def _hours(jobs: Sequence[Job], estimate: Estimate, unit: str) -> str:
    """Add up what jobs take of one GPU each, or of their cores."""
    expected = asked = 0.0
    for job in jobs:
        each = max(1, job.threads) if unit == "core-hours" else job.gpus
        expected += each * estimate(job.rule, job.wildcards).seconds / 3600
        asked += each * job.minutes / 60
    return f"{len(jobs):,}: {amount(expected)} {unit} expected, {amount(asked)} asked for"


def _downloads(plan: Plan, jobs: Iterable[Job]) -> str:
    """Say how much is fetched, and how far the cache of weights grows with it."""
    fetched = [
        (job.wildcards["model"], job.wildcards["checkpoint"])
        for job in jobs
        if job.rule == "fetch_checkpoint" and plan.model(job.wildcards["model"]).source == "hub"
    ]
    if not fetched:
        return "none"
    whole = [costs.weights_mb(plan, *run) for run in fetched]
    kept = [costs.cached_mb(plan, *run) for run in fetched]
    n_trained = sum(not registry.UNTRAINED.fullmatch(checkpoint) for _, checkpoint in fetched)
    said = f"{n_trained:,} checkpoints, {size(sum(whole))}"
    said += f" unless the cache has them; it grows by {size(sum(kept))}"
    if budget := plan.site.weights_budget_gb:
        most = max(budget * 1e9 / costs.MIB, max(kept))
        most = min(sum(kept), most)
        return f"{said}, to {size(most)} at most at once (weights_budget_gb: {budget:g})"
    return f"{said} (no weights_budget_gb)"


def _too_large(plan: Plan, jobs: Sequence[Job]) -> Iterable[str]:
    """Name jobs that ask for more than any partition of the site gives."""
    if not plan.site.partitions:
        return
    refused = [
        job
        for job in jobs
        if not any(
            job.mem_mb <= partition.max_mem_mb
            and job.minutes <= partition.max_runtime
            and job.threads <= partition.max_threads
            and job.gpus <= partition.max_gpu
            for partition in plan.site.partitions.values()
        )
    ]
    if refused:
        first = refused[0]
        yield (
            f"{'too large':<12}{len(refused):,} of {len(jobs):,} jobs ask for more than any "
            f"partition of the site gives, such as {first.mem_mb:,} MB, {first.minutes:,} minutes, "
            f"{first.threads} threads and {first.gpus} GPUs by {first.name}"
        )


# --- numbers as text ------------------------------------------------------------------------------


def lay_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def size(mib: float) -> str:
    """Write a number of MiB in the unit (of powers of 1000) that reads best."""
    number = mib * costs.MIB / 1e6
    for unit in ("MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{amount(number)} {unit}"
        number /= 1000
    raise AssertionError


def amount(number: float) -> str:
    """Write two digits after the point of small numbers, none of large ones."""
    if 0 < number < 0.01:
        return "<0.01"
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:,.{digits}f}"
