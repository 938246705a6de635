"""Planning a study of many jobs, and rules that read files by the ten thousand."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
from workspace import ROOT, Workspace, new_workspace

# Snakemake itself brings pandas and NumPy.
HEAVY = {"torch", "transformers", "nilearn", "himalaya", "xarray", "scipy", "sklearn", "matplotlib"}
Job = tuple[str, frozenset[str], frozenset[str]]
PLAN_AND_LIST = """
import sys
from snakemake.cli import main

try:
    main(["--snakefile", {snakefile!r}, "--directory", {folder!r}, "--dry-run", "--quiet", "all"])
except SystemExit as done:
    assert done.code == 0, done.code
print(*sys.modules)
"""
MANY = 50_000
READS_MANY = """
include: {snakefile!r}


use rule collect_provenance as read_many with:
    input:
        open("paths.txt").read().splitlines(),
    output:
        "results/many.parquet",
    log:
        "results/many.log",
    benchmark:
        "results/many.tsv"
"""
MADE = {"stage": "a", "spec": {}, "code": "", "git_commit": "", "versions": {}, "threads": 1}
JOB = re.compile(r"^(?:local)?rule (\w+):\n    input: (.*)\n    output: (.*)$", re.MULTILINE)
dag = runpy.run_path(str(ROOT / "benchmarks" / "dag.py"))


def test_planning_a_study_imports_no_large_library(tmp_path: Path) -> None:
    space = new_workspace(tmp_path, stand_ins=False)
    code = PLAN_AND_LIST.format(snakefile=str(space.snakefile), folder=str(tmp_path))
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    imported = set(listed.stdout.split())
    assert "lmcortex.plan" in imported
    assert not imported & HEAVY


def test_a_rule_reads_more_paths_than_a_command_line_holds(tmp_path: Path) -> None:
    space = new_workspace(tmp_path, stand_ins=False)
    names = [f"results/made/by/some/rule/of/a/large/study/{i}.json" for i in range(MANY)]
    space.path(names[0]).parent.mkdir(parents=True)
    for i, name in enumerate(names):
        space.path(name).write_text(json.dumps({"provenance": {**MADE, "threads": i}}))
    space.path("paths.txt").write_text("\n".join(names))
    assert space.path("paths.txt").stat().st_size > 2**21
    space.path("Snakefile").write_text(READS_MANY.format(snakefile=str(ROOT / "Snakefile")))
    space.snakemake("results/many.parquet")
    table = pd.read_parquet(space.path("results/many.parquet"))
    assert list(table["path"]) == names
    assert list(table["threads"]) == list(range(MANY))


def planned_jobs(space: Workspace, *options: str) -> set[Job]:
    """Return rule, inputs and outputs of every job of a dry run."""
    shown = space.snakemake("--dry-run", *options).stdout
    return {
        (rule, frozenset(inputs.split(", ")), frozenset(outputs.split(", ")))
        for rule, inputs, outputs in JOB.findall(shown)
    }


def test_the_bare_snakefile_of_the_benchmark_has_the_jobs_of_the_workflow(tmp_path: Path) -> None:
    dag["write_study"](tmp_path, checkpoints=4, subjects=2)
    space = Workspace(tmp_path)
    jobs = planned_jobs(space)
    assert len(jobs) > 100
    assert planned_jobs(space, "--snakefile", str(ROOT / "benchmarks" / "bare.smk")) == jobs
