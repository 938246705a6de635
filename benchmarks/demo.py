"""Where the demo's wall time goes.

Runs the demo from nothing in an empty folder and prints, for every rule, jobs, seconds and share,
with the start-up that importing libraries costs beside it.

    python benchmarks/demo.py --cores 2
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {  # what a rule's time is spent on
    "training": ("train_suite",),
    "forward passes": ("extract_features",),
    "ridge": ("fit_encoding",),
    "scores": ("score_roi",),
    "baselines and simulation": ("compute_baseline", "simulate_stimuli", "simulate_responses"),
    "figures and pages": ("plot_", "write_"),
}
IMPORTS = {  # by the group whose jobs pay for it
    "forward passes": "import transformers.models.gpt_neox.modeling_gpt_neox, pandas",
    "ridge": "import pandas, xarray, h5netcdf, threadpoolctl",
    "scores": "import pandas, xarray, h5netcdf, pyarrow.parquet",
    "baselines and simulation": "import pandas, pyarrow.parquet",
    "figures and pages": "import pandas, pyarrow.parquet, matplotlib.figure",
}


def seconds(command: list[str], folder: Path, **environment: str) -> float:
    start = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=os.environ | environment, check=True, capture_output=True
    )
    return time.perf_counter() - start


def group_of(rule: str) -> str:
    for group, prefixes in GROUPS.items():
        if rule.startswith(prefixes):
            return group
    return "tables and the rest"


def rule_of(folder: Path) -> dict[str, str]:
    """Return the rule that made each output, as the workflow's own summary says."""
    listed = subprocess.run(
        ["snakemake", "--summary"], cwd=folder, capture_output=True, text=True, check=True
    )
    rows = csv.DictReader(listed.stdout.splitlines(), delimiter="\t")
    return {row["output_file"]: row["rule"] for row in rows}


def measured(folder: Path) -> dict[str, list[float]]:
    """Return the wall seconds of every job, by group."""
    jobs: dict[str, list[float]] = defaultdict(list)
    for output, rule in rule_of(folder).items():
        benchmark = folder / (output.replace("results", "results/benchmarks", 1) + ".tsv")
        if benchmark.exists():
            row = next(csv.DictReader(benchmark.open(), delimiter="\t"))
            jobs[group_of(rule)].append(float(row["s"]))
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = seconds(["make", "setup"], clone)
        shutil.rmtree(clone)
        folder = Path(name)
        for part in ("Snakefile", "config", "workflow", "profiles"):
            (folder / part).symlink_to(ROOT / part)
        plan = seconds(["snakemake", "--dry-run", "--quiet"], folder)
        run = seconds(["snakemake", "--cores", str(args.cores)], folder)
        style = "workflow/report/style.css"
        report = ["snakemake", "--report", "report.html", "--report-stylesheet", style]
        report_seconds = seconds(report, folder)
        jobs = measured(folder)

    total = sum(map(sum, jobs.values()))
    print(f"environment: {environment:.0f} s (make setup in a new clone, downloads cached)")
    print(f"demo: {run:.0f} s on {args.cores} cores, report {report_seconds:.0f} s")
    print(f"building the DAG: {plan:.0f} s; cores busy: {total / (run * args.cores):.0%}\n")
    print(f"{'':26}{'jobs':>6}{'job-s':>8}{'share':>7}{'import s':>10}{'of it':>7}")
    for group, times in sorted(jobs.items(), key=lambda item: -sum(item[1])):
        line = f"{group:26}{len(times):6}{sum(times):8.0f}{sum(times) / total:7.0%}"
        if group in IMPORTS:
            command = [sys.executable, "-c", IMPORTS[group]]
            start_up = statistics.median(seconds(command, ROOT) for _ in range(3))
            line += f"{start_up:10.1f}{start_up * len(times) / sum(times):7.0%}"
        print(line)


if __name__ == "__main__":
    main()
