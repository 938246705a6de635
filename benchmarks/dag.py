"""What planning a large study costs, beside a bare Snakefile with the same jobs, files and edges.

The study asks for the checkpoints of all Pythia sizes on a voxel-wise story that 49 people heard in
nine runs, as in Le Petit Prince, with empty files for its data. It is made smaller by asking for
fewer checkpoints, and larger by more listeners. For each size, `snakemake --dry-run` plans the
workflow's study and then benchmarks/bare.smk with the same files; that has no logs and benchmarks.
It is an error if the workflow takes more than 1.5 times as much as the bare Snakefile.

    python benchmarks/dag.py
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lmcortex import config, paths, registry, reporting
from lmcortex.plan import TABLES, Cell, Plan, load_plan

ROOT = Path(__file__).resolve().parents[1]
BARE = Path(__file__).with_name("bare.smk")
LIMIT = 1.5  # times what the bare Snakefile takes
PYTHIA = ("14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
MODELS = [f"pythia-{size}" for size in PYTHIA]
ROIS = {
    "IFG": [-50, 18, 20],
    "MFG": [-42, 10, 46],
    "TP": [-48, 14, -28],
    "aSTS": [-54, -8, -14],
    "pSTS": [-54, -42, 4],
    "AG": [-44, -62, 30],
    "dmPFC": [-8, 50, 34],
}
DATASET = {
    "kind": "story",
    "title": "A book that many heard",
    "words": "data/words-{run}.tsv",
    "responses": "data/sub-{subject}_run-{run}.nii",
    "mask": "data/mask.nii",
    "runs": [str(run) for run in range(1, 10)],
    "samples": [282, 298, 340, 303, 265, 343, 325, 292, 368],
    "tr": 2,
    "voxelwise": True,
    "rois": {roi: {"center": center} for roi, center in ROIS.items()},
}


class Size(NamedTuple):
    """How large the study is: checkpoints of each model, listeners; and how often it is planned."""

    checkpoints: int
    subjects: int
    repeats: int


# About 2,500 to 100,000 jobs; the last but one is all of Pythia.
SIZES = (Size(3, 49, 3), Size(18, 49, 3), Size(74, 49, 1), Size(154, 49, 1), Size(154, 64, 1))


class Cost(NamedTuple):
    """What planning takes: wall and processor time (s) and peak resident memory (bytes)."""

    jobs: int
    wall: float
    busy: float
    peak: float


def write_study(folder: Path, checkpoints: int, subjects: int) -> None:
    """Write a study, its configuration and empty data into `folder`, and the bare one's paths."""
    shutil.copytree(ROOT / "config", folder / "config")
    for part in ("Snakefile", "workflow", "profiles"):
        (folder / part).symlink_to(ROOT / part)
    models = registry.load_models(folder / "config")
    asked = [
        {"name": name, "checkpoints": models[name].checkpoints("all", name)[:checkpoints]}
        for name in MODELS
    ]
    study = {"title": "Pythia", "datasets": ["book"], "fits": ["story-5"], "models": asked}
    labels = [f"{number:02}" for number in range(1, subjects + 1)]
    for name, content in {
        "config.yaml": {"study": "pythia"},
        "studies/pythia.yaml": study,
        "datasets/book.yaml": {**DATASET, "subjects": labels},
    }.items():
        (folder / "config" / name).write_text(yaml.safe_dump(content))
    (folder / "data").mkdir()
    (folder / "data" / "mask.nii").touch()
    for run in DATASET["runs"]:
        (folder / "data" / f"words-{run}.tsv").touch()
        for label in labels:
            (folder / "data" / f"sub-{label}_run-{run}.nii").touch()
    with contextlib.chdir(folder):
        plan = load_plan({"study": "pythia"})
    (folder / "plan.json").write_text(json.dumps(bare_plan(plan)))


def bare_plan(plan: Plan) -> dict[str, Any]:
    """Write down the paths that benchmarks/bare.smk needs: patterns, and lists of files."""
    book = plan.datasets["book"]
    shown = {
        run.model: reporting.map_inputs(plan, "book", "story-5", run.model)
        for run in reporting.mapped_runs(plan, "book")
    }
    patterns = ("ITEMS", "WORDS", "RESPONSES", "CEILING", "CHECKPOINT", "FEATURES", "FIT")
    data = {name: getattr(paths, name) for name in (*patterns, "SCORES", "DRAWS")}
    data["AVERAGE"] = paths.RESPONSES.replace("{subject}", "{subject,average}")
    data |= {
        name: getattr(paths, name).replace("{study}", plan.name)
        for name in ("SCORE_MAP", "SIDES_MAP", "ADDED_MAP")
    }
    data["BASELINE"] = paths.FEATURES.replace("{model}", f"{{model,{'|'.join(config.BASELINES)}}}")
    pages, figures, dataset_figures = (
        pattern.replace("{study}", plan.name)
        for pattern in (paths.PAGE, paths.FIT_FIGURE, paths.DATASET_FIGURE)
    )
    names = ["overview", "layers", "heatmap-{model}", "training"]
    names += ["scaling", "lateralization", "emergence", "maps-{model}", "slopes"]
    scores = [*plan.all_scores(), *plan.all_scores(paths.DRAWS)]
    counted = plan.quality_files()
    fits = plan.all_fits()
    return {
        "data": data,
        "tables": {name: plan.table(name) for name in (*TABLES, "voxel_slopes", "{page}")},
        "figures": {name: figures.replace("{figure}", name) for name in names}
        | {"quality": dataset_figures.replace("{figure}", "quality")},
        "pages": {name: pages.replace("{page}", name) for name in ("{page}", "software")},
        "constraints": paths.CONSTRAINTS,
        "texts": book.stimulus_files()["words"],
        "recording": [
            file
            for files in book.recording_files("{subject}").values()
            for file in ([files] if isinstance(files, str) else files)
        ],
        "recorded": [plan.response_files("book", label)[0] for label in book.subjects],
        "sized": plan.sized_maps(),
        "slopes": plan.slope_maps(),
        "seeds": [run._asdict() for run in plan.baselines if run.model == "random-embedding"],
        "shown": {model: list(maps.values()) for model, maps in shown.items()},
        "turned": [list(shown.values())[-1]["scores"]],
        "cortex": reporting.cortex_pages(plan, "book", "story-5"),
        "scores": scores,
        "fits": {
            f"{run.model}/{run.checkpoint}": plan.fit_files(Cell("book", "story-5", *run))
            for run in plan.runs_on("book")
        },
        "counted": without(counted, fits),
        "signed": without(plan.signed_files(), [*counted, *scores]),
        "all": [*plan.tables(), *reporting.figures(plan), *reporting.pages(plan)],
    }


def without(files: list[str], others: list[str]) -> list[str]:
    left_out = set(others)
    return [file for file in files if file not in left_out]


def measure(folder: Path, *options: str) -> Cost:
    """Plan the study in `folder` once."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", *options]
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    jobs = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    if process.returncode or not jobs:
        sys.exit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    return Cost(int(jobs[1]), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def typical(costs: list[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def compare(size: Size) -> tuple[Cost, Cost]:
    """Plan a study of that size by the workflow and by the bare Snakefile, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder, size.checkpoints, size.subjects)
        options = ("--snakefile", str(BARE))
        runs = [(measure(folder), measure(folder, *options)) for _ in range(size.repeats)]
    workflow, bare = (typical(list(costs)) for costs in zip(*runs, strict=True))
    assert workflow.jobs == bare.jobs, "benchmarks/bare.smk no longer has the workflow's jobs"
    return workflow, bare


def slope(costs: list[Cost], what: str) -> tuple[float, float]:
    """Fit a line to cost against jobs: return its slope, and how far from it a cost is at most."""
    jobs, found = [cost.jobs for cost in costs], [getattr(cost, what) for cost in costs]
    rise, start = statistics.linear_regression(jobs, found)
    line = (start + rise * n for n in jobs)
    return rise, max(abs(cost / fitted - 1) for cost, fitted in zip(found, line, strict=True))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before this began")
    print("wall time, processor time (user and system), peak memory; per job of the latter two\n")
    print(f"{'':8}{'workflow':^32}{'bare Snakefile':^32}{'ratio':^14}")
    print(f"{'jobs':>8}{2 * '  wall s   cpu s  ms/job  KB/job'}{'cpu':>7}{'memory':>7}")
    pairs = []
    for size in SIZES:
        workflow, bare = compare(size)
        pairs.append((workflow, bare))
        columns = "".join(
            f"{cost.wall:8.1f}{cost.busy:8.1f}{1e3 * cost.busy / cost.jobs:8.2f}"
            f"{cost.peak / cost.jobs / 1e3:8.1f}"
            for cost in (workflow, bare)
        )
        ratios = (workflow.busy / bare.busy, workflow.peak / bare.peak)
        print(f"{workflow.jobs:8,}{columns}{ratios[0]:7.2f}{ratios[1]:7.2f}", flush=True)

    print()
    ours, theirs = zip(*pairs, strict=True)
    worst = max(max(a.busy / b.busy, a.peak / b.peak) for a, b in pairs)
    for what, unit, scale in (("busy", "ms", 1e3), ("peak", "KB", 1e-3)):
        (rise, bend), (bare_rise, _) = slope(list(ours), what), slope(list(theirs), what)
        worst = max(worst, rise / bare_rise)
        print(
            f"each further job: {rise * scale:.2f} {unit}, bare {bare_rise * scale:.2f} {unit}, "
            f"ratio {rise / bare_rise:.2f}; from a straight line, at most {bend:.1%}"
        )
    if worst > LIMIT:
        sys.exit(f"more than {LIMIT} times a bare Snakefile: {worst:.2f}")


if __name__ == "__main__":
    main()
