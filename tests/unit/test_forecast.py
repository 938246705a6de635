"""What is said of a study's costs before it runs: sums, and what stands out."""

from pathlib import Path
from typing import Any

import pytest

from lmcortex.config import Partition
from lmcortex.costs import cached_mb, estimator
from lmcortex.forecast import amount, by_rule, forecast, lay_out, size, total
from lmcortex.jobs import Job
from lmcortex.plan import Plan, load_plan

CONFIG = Path(__file__).resolve().parents[2] / "config"
RUN = {"model": "pythia-12b", "checkpoint": "step143000"}


def plan_on(**site: Any) -> Plan:
    return load_plan({"study": "demo", **site}, CONFIG)


def fetch(checkpoint: str = "step143000") -> Job:
    run = {"model": "pythia-12b", "checkpoint": checkpoint}
    return Job("fetch_checkpoint", run, 900, 30, 0, 0, f"results/{checkpoint}.json")


def extract(mem_mb: int = 5000) -> Job:
    wildcards = {"dataset": "simulated-story", **RUN}
    return Job("extract_features", wildcards, mem_mb, 60, 4, 1, "results/x.safetensors")


def said(text: str, about: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(about))


def test_rows_add_up_the_jobs_of_a_rule() -> None:
    plan = plan_on(device="cuda")
    rows = by_rule([extract(5000), fetch(), extract(7000)], estimator(plan))
    assert [(row.rule, row.jobs, row.gpu_jobs) for row in rows] == [
        ("extract_features", 2, 2),
        ("fetch_checkpoint", 1, 0),
    ]
    assert rows[0].mem_mb == 7000 and rows[0].hours_asked == 2
    assert total(rows).jobs == 3 and total(rows).hours_asked == 2.5


def test_hours_of_gpus_and_of_cores_are_told_apart() -> None:
    on_gpu = forecast(plan_on(device="cuda"), [extract(), fetch()])
    assert "1.00 asked for" in said(on_gpu, "GPU jobs") and "GPU-hours" in said(on_gpu, "GPU jobs")
    # Four threads, each for an hour.
    on_cores = forecast(plan_on(device="cpu"), [extract(), fetch()])
    assert "4.00 asked for" in said(on_cores, "GPU jobs")
    assert "core-hours" in said(on_cores, "GPU jobs")


def test_the_largest_request_names_its_job() -> None:
    line = said(forecast(plan_on(), [fetch(), extract(7000)]), "memory")
    assert "7,000 MB" in line and extract().name in line


def test_a_budget_bounds_the_cache_and_not_the_downloads() -> None:
    jobs = [fetch("step1"), fetch("step2"), fetch("step4"), fetch("untrained-seed1")]
    free = said(forecast(plan_on(), jobs), "downloads")
    bounded = said(forecast(plan_on(weights_budget_gb=60), jobs), "downloads")
    downloaded = "3 checkpoints, 71.1 GB"
    assert downloaded in free and downloaded in bounded
    assert "142 GB" in free  # each .bin beside the copy that it is converted to
    assert "60.0 GB at most" in bounded
    # One checkpoint has to fit, whatever the budget.
    least = size(cached_mb(plan_on(), "pythia-12b", "step1"))
    assert f"{least} at most" in said(forecast(plan_on(weights_budget_gb=1), jobs), "downloads")


def test_recordings_of_archives_are_counted_apart() -> None:
    recording = Job("fetch_recording", {"dataset": "d", "part": "words"}, 900, 30, 0, 0, "r.json")
    text = forecast(plan_on(), [recording, extract(), recording])
    assert said(text, "recordings").split()[1] == "2"
    assert "\nrecordings" not in forecast(plan_on(), [fetch()])


def test_a_job_that_no_partition_takes_is_named() -> None:
    small = Partition(max_mem_mb=6000, max_gpu=1)
    without_gpu = Partition(max_mem_mb=64_000)
    plan = plan_on(partitions={"a": small.model_dump(), "b": without_gpu.model_dump()})
    assert "too large" not in forecast(plan, [extract(5000), fetch()])
    line = said(forecast(plan, [extract(5000), extract(7000)]), "too large")
    assert "1 of 2 jobs" in line and "7,000 MB" in line


def test_nothing_to_do_is_one_line() -> None:
    assert forecast(plan_on(), []) == "Study demo: nothing is left to do."


@pytest.mark.parametrize(
    ("mib", "text"), [(0.5, "0.52 MB"), (1000, "1.05 GB"), (30e6, "31.5 TB"), (1e9, "1,049 TB")]
)
def test_sizes_are_in_powers_of_a_thousand(mib: float, text: str) -> None:
    assert size(mib) == text


def test_small_amounts_do_not_look_like_nothing() -> None:
    assert [amount(number) for number in (0, 0.004, 0.5, 12, 1234.5)] == [
        *("0.00", "<0.01", "0.50", "12.0", "1,234"),
    ]


def test_columns_are_aligned() -> None:
    assert lay_out([("a", "1"), ("bcd", "234")]) == ["a      1", "bcd  234"]
