"""A whole study, small, from nothing to its report: training, simulation, encoding, tables."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from browser import visit
from fork_server import forking
from workspace import Workspace, new_workspace

STUDY = """
title: A small study
datasets: [simulated-sentences, simulated-story]
fits: [shuffled-5-mean, runs]
models:
  - {name: suite-l, checkpoints: all}
baselines: [word-rate, position]
"""
KEY = ["dataset", "fit", "model", "checkpoint", "layer", "subject", "roi", "hemisphere"]
COLUMNS = {  # of the tables: what users' scripts rely on
    "scores": [
        *KEY,
        *("family", "n_params", "step", "tokens_seen", "n_layers", "depth", "n_targets", "r"),
        *("r_sd_folds", "ceiling", "r_normalized", "p", "q", "alpha_median", "alpha_at_edge"),
        "selected_share",
    ],
    "scaling": ["dataset", "fit", "roi", "hemisphere", "intercept", "slope", "ci_low", "ci_high"],
    "lateralization": ["left", "right", "difference", "difference_normalized", "index", "p"],
    "model_contrasts": ["difference", "ci_low", "ci_high", "paired_over"],
    "training": ["onset50", "onset90", "late_gain", "variability"],
    "quality": ["dataset", "measure", "value", "detail"],
    "truth_recovery": ["effect", "planted", "recovered", "ci_low", "ci_high", "inside"],
    "provenance": ["path", "spec", "code", "git_commit", "fingerprint", "text_hash", "wall_s"],
}


def change(path: Path, **changes: Any) -> None:
    """Set values deep in a YAML file: ``stimuli__sentences=60``."""
    content = yaml.safe_load(path.read_text())
    for place, value in changes.items():
        *outer, last = place.split("__")
        section = content
        for key in outer:
            section = section[key]
        section[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    space = new_workspace(tmp_path_factory.mktemp("small"), stand_ins=False)
    for study in space.path("config/studies").iterdir():
        study.unlink()
    space.path("config/studies/small.yaml").write_text(STUDY)
    space.edit("config/config.yaml", "study: demo", "study: small")
    large = {"n_layers": 3, "width": 48, "n_heads": 2, "learning_rate": 2e-3}
    models = {"suite-l": {**large, "checkpoints": [0, 4, 8, 16]}}
    change(space.path("config/suites.yaml"), demo__models=models)
    planted = {"sizes": [10**6, 10**8, 10**10], "learning__steps": [0, 64, 1000, 143000]}
    few = {f"planted__{place}": value for place, value in planted.items()}
    few["subjects"] = ["01", "02", "03"]
    datasets = space.path("config/datasets")
    change(datasets / "simulated-sentences.yaml", stimuli__sentences=80, **few)
    change(datasets / "simulated-story.yaml", stimuli__runs=3, stimuli__samples=60, **few)
    with forking(space.path("bin/python"), ["preloaded"], {}):
        space = Workspace(space.folder, stand_ins=True)
        space.snakemake()
        yield space


def table(space: Workspace, name: str) -> pd.DataFrame:
    return pd.read_parquet(space.path(f"results/studies/small/tables/{name}.parquet"))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_has_its_columns_and_rows(space: Workspace, name: str) -> None:
    found = table(space, name)
    assert set(COLUMNS[name]) <= set(found.columns)
    assert len(found) > 0
    assert space.path(f"results/studies/small/tables/{name}.csv").exists()


def test_a_row_of_scores_is_named_by_its_key(space: Workspace) -> None:
    scores = table(space, "scores")
    assert not scores.duplicated(KEY).any()
    assert scores["r"].between(-1, 1).all()
    nested = scores[scores["layer"] == -1]
    assert nested["p"].between(0, 1).all() and nested["q"].notna().all()


def test_every_output_says_how_it_was_made(space: Workspace) -> None:
    made = table(space, "provenance")
    assert {"train_suite", "extract_features", "fit_encoding", "score_roi"} <= set(made["stage"])
    assert made["wall_s"].notna().mean() > 0.9


def test_a_second_run_does_nothing(space: Workspace) -> None:
    assert space.planned() == {}


def test_a_failed_job_says_what_to_do_and_leaves_nothing(space: Workspace) -> None:
    data = space.path("data")
    data.mkdir()
    (data / "stimuli.csv").write_text("item,text\na,One two.\nb,Three four.\n")
    (data / "responses.csv").write_text("subject,item,IFG\n01,a,0.5\n01,b,nan\n")
    space.path("config/datasets/mine.yaml").write_text(
        "title: Mine\nkind: sentences\nstimuli: data/stimuli.csv\nresponses: data/responses.csv\n"
        "subjects: ['01']\ntargets: [{target: IFG, roi: IFG, hemisphere: L}]\n"
    )
    space.path("config/studies/mine.yaml").write_text(
        STUDY.replace("simulated-sentences, simulated-story", "mine").replace(", runs", "")
    )
    wanted = "results/datasets/mine/responses/sub-01.nc"
    failed = space.snakemake(wanted, "--config", "study=mine", check=False)
    assert failed.returncode != 0
    assert "error: data/responses.csv: line 3" in failed.stdout + failed.stderr
    assert list(space.path(wanted).parent.glob("*")) == []


def test_figures_of_simulated_brains_are_marked(space: Workspace) -> None:
    figures = list(space.path("results/studies/small/figures").rglob("*.svg"))
    assert len(figures) >= 14
    assert all("SIMULATED DATA" in figure.read_text() for figure in figures)


def test_the_report_opens_offline_and_shows_everything(space: Workspace) -> None:
    report = space.path("results/studies/small/report.html")
    style = space.path("workflow/report/style.css")
    space.snakemake("--report", str(report), "--report-stylesheet", str(style))
    seen = visit(report)
    assert seen.problems == []
    asked = [*report.parent.rglob("*.svg"), *report.parent.joinpath("pages").iterdir()]
    assert len(seen.shown) == len(asked)


def test_results_that_no_study_asks_for_are_listed(space: Workspace) -> None:
    def orphans() -> list[str]:
        command = [sys.executable, "workflow/scripts/list_orphans.py"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=space.folder, check=True)
        return done.stdout.splitlines()

    space.path("config/studies/mine.yaml").unlink(missing_ok=True)
    left_over = {path for path in orphans() if "/mine/" not in path}
    assert left_over == set()
    space.edit("config/studies/small.yaml", "[word-rate, position]", "[word-rate]")
    cells = [path for path in orphans() if "position/main" in path and "datasets" in path]
    assert len(cells) == 2 * 4  # of each dataset: features, a fit, scores and draws
