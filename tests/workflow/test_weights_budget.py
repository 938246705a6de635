"""A budget for weights: they come one after the other, leave when used, and can be brought back."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hub import COMMIT, Hub, Steps, serve
from safetensors.numpy import save
from workspace import ROOT, Workspace, new_workspace

STUDY = """
title: A study
datasets: [mine]
fits: [shuffled-5]
models:
  - {name: pythia-14m, checkpoints: [step1, step2, step4, step8]}
baselines: [word-rate]
"""
DATASET = """
title: Sentences
kind: sentences
stimuli: data/stimuli.csv
responses: data/responses.csv
subjects: ["01"]
targets:
  - {target: a, roi: IFG, hemisphere: L}
"""
STEPS = (1, 2, 4, 8)
LAST = 143000
WEIGHTS = {step: save({"a": np.full(10**6, step % 251, np.uint8)}) for step in (*STEPS, LAST)}
SIZE = len(WEIGHTS[1])
BUDGET = f"weights_budget_gb={1.5 * SIZE / 1e9}"
# Fetching, releasing and restoring are real, but for the seconds between two looks at the ledger.
# An extraction reads its checkpoint as a job does; all else is a stand-in.
PYTHON = """#!/bin/sh
case "$1" in
  */fetch_checkpoint.py|*/release_checkpoint.py|*/restore_weights.py)
    exec "{python}" -c "import runpy, sys; from lmcortex.models import ledger; ledger.POLL = 0.1
sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')" "$@" ;;
  */extract_features.py)
    while [ "$1" != --checkpoint ]; do shift; done
    "{python}" -c "import sys; from lmcortex import cli, storage
from lmcortex.models.load import checkpoint_folder
cli.run(lambda: print(checkpoint_folder(storage.read_json(sys.argv[1]))))" "$2" || exit 1
    while [ "$1" != --output ]; do shift; done
    sleep "${{EXTRACTION_SECONDS:-0}}"
    echo "features of $2" > "$2"
    exit ;;
esac
exec "{python}" -S "{stand_in}" "$@"
"""


@dataclass
class WatchedHub(Steps):
    """A hub that looks into the cache of its client, before each request of weights."""

    cache: Path = Path()
    seen: list[int] = field(default_factory=list)

    def at(self, path: str) -> Hub:
        if path.endswith("model.safetensors"):
            self.seen.append(weights_in(self.cache))
        return super().at(path)

    @property
    def high_water(self) -> int:
        """The most bytes of weights that the cache ever held, in whole downloads."""
        return max(self.seen) + SIZE


def weights_in(cache: Path) -> int:
    sizes = [path.stat().st_size for path in cache.glob("hub/models--*/blobs/*")]
    return sum(size for size in sizes if size > SIZE / 2)


@contextmanager
def site(folder: Path) -> Iterator[tuple[Workspace, WatchedHub]]:
    """A workspace, a hub, and a cache of its own."""
    space = new_workspace(folder, stand_ins=True)
    for name in ("Snakefile", "profiles"):
        space.path(name).symlink_to(ROOT / name)
    stand_in = Path(__file__).with_name("stand_in.py")
    space.path("bin/python").write_text(PYTHON.format(python=sys.executable, stand_in=stand_in))
    space.path("data").mkdir()
    for name in ("stimuli", "responses"):
        space.path(f"data/{name}.csv").write_text(f"{name}\n")
    space.path("config/studies/mine.yaml").write_text(STUDY)
    for name in ("mine", "other"):
        space.path(f"config/datasets/{name}.yaml").write_text(DATASET)
    space.edit("config/config.yaml", "study: demo", "study: mine")
    hub = WatchedHub(
        {"config.json": b"{}", "tokenizer.json": b"{}"},
        repo="EleutherAI/pythia-14m",
        revisions=("main", COMMIT),
        own={f"step{step}": {"model.safetensors": data} for step, data in WEIGHTS.items()},
        cache=folder / "hf",
    )
    with serve(hub), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_HOME", str(hub.cache))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield space, hub


def restore(space: Workspace) -> str:
    """Run the command of `make fetch` and return what it prints."""
    path = f"{space.path('bin')}{os.pathsep}{os.environ['PATH']}"
    command = ["python", "workflow/scripts/restore_weights.py", "--study", "mine"]
    environment = os.environ | {"PATH": path}
    done = subprocess.run(
        command, cwd=space.folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def test_without_a_budget_all_weights_are_kept(tmp_path: Path) -> None:
    with site(tmp_path) as (space, hub):
        space.snakemake()
        assert hub.high_water == weights_in(hub.cache) == len(STEPS) * SIZE
        assert space.planned() == {}
        # A budget that is set later runs nothing but the releases.
        assert space.planned("--config", BUDGET) == {"release_checkpoint": len(STEPS)}


def test_with_a_budget_the_weights_never_take_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRACTION_SECONDS", "2")
    with site(tmp_path) as (space, hub):
        # Windows of every checkpoint wait for swaps by the last: with room for one, it comes first.
        windows = "analyses: [windows]\nwindows: [pydoc]\nbaselines"
        space.edit("config/studies/mine.yaml", "baselines", windows)
        # One core: a download that waits for room must not keep it from who would make room.
        patience = "weights_wait_hours=0.05"
        done = space.snakemake("features", "--cores", "1", "--config", BUDGET, patience)
        assert hub.high_water == SIZE
        assert "wait for room" in done.stdout + done.stderr
        assert weights_in(hub.cache) == 0
        assert len(list(hub.cache.rglob("config.json"))) == len(STEPS) + 2
        assert space.planned("--config", BUDGET, "--", "features") == {}
        assert space.planned("--", "features") == {}


def test_what_left_is_named_and_as_much_as_is_needed_comes_back(tmp_path: Path) -> None:
    with site(tmp_path) as (space, hub):
        space.edit("config/config.yaml", "weights_budget_gb:", BUDGET.replace("=", ": "))
        space.snakemake("features")

        # One checkpoint is needed again, and no other.
        space.path("results/datasets/mine/features/pythia-14m/step2.safetensors").unlink()
        failed = space.snakemake("features", check=False)
        assert failed.returncode != 0
        assert "error: pythia-14m step2: its files have left" in failed.stdout + failed.stderr
        assert "`make fetch STUDY=...`" in failed.stdout + failed.stderr
        assert re.fullmatch(r"pythia-14m step2: \S+ GB restored\n", restore(space))
        assert weights_in(hub.cache) == SIZE

        # A dataset is added, and all are: as many come as fit, the last ones after more room.
        space.edit("config/studies/mine.yaml", "[mine]", "[mine, other]")
        assert restore(space).startswith("3 more do not fit in weights_budget_gb")
        space.snakemake("features", "--keep-going", check=False)
        assert weights_in(hub.cache) == 0
        first, last = restore(space).splitlines()
        assert first.endswith("restored") and last.startswith("2 more do not fit")
        assert hub.high_water == SIZE
        space.edit("config/config.yaml", BUDGET.replace("=", ": "), "weights_budget_gb: 1")
        assert restore(space).count("restored") == 2
        space.snakemake("features")
        assert weights_in(hub.cache) == 0 and restore(space) == "nothing to restore\n"
