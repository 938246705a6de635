"""Weights that left the cache: jobs say so, and what comes back is what was described."""

import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub import COMMIT, Steps, serve
from huggingface_hub import constants
from safetensors.numpy import save

from lmcortex import paths, storage
from lmcortex.errors import InputError
from lmcortex.models import checkpoint_folder, ledger
from lmcortex.models.fetch import fetch_checkpoint
from lmcortex.models.restore import needed_weights, restore
from lmcortex.plan import Plan, load_plan

CONFIG = Path(__file__).resolve().parents[2] / "config"

WEIGHTS = {step: save({"a": np.full(1000, step, np.float32)}) for step in (1, 2, 3)}
SIZE = len(WEIGHTS[1])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    """A hub with several steps of a model, and an empty cache."""
    monkeypatch.chdir(tmp_path)
    common = {"config.json": b"{}", "tokenizer.json": b"{}"}
    steps = {f"step{step}": {"model.safetensors": data} for step, data in WEIGHTS.items()}
    with serve(Steps(common, revisions=("main", COMMIT), own=steps)) as hub:
        # The hub's client has read its settings from the environment, when it was imported.
        url = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        yield hub


def fetch(checkpoint: str, **spec: str) -> dict[str, Any]:
    revision = checkpoint if checkpoint.startswith("step") else "main"
    spec = {"source": "hub", "repo": "lab/tiny", "revision": revision, **spec}
    return fetch_checkpoint("tiny", checkpoint, spec)


def restored(*checkpoints: dict[str, Any], budget: float = 1e9) -> list[str]:
    paths = [Path(f"{checkpoint['checkpoint']}.json") for checkpoint in checkpoints]
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        storage.write_json(checkpoint, path)
    return list(restore(list(map(str, paths)), budget))


def test_a_job_that_finds_its_weights_gone_says_how_to_get_them_back(hub: Steps) -> None:
    checkpoint = fetch("step1")
    assert (checkpoint_folder(checkpoint) / "model.safetensors").exists()
    assert list(ledger.release("tiny", "step1").values()) == [SIZE]
    with pytest.raises(InputError, match=r"^tiny step1: its files have left .*`make fetch STUDY="):
        checkpoint_folder(checkpoint)


def test_restored_weights_are_those_described_even_if_the_revision_moved_on(hub: Steps) -> None:
    checkpoint = fetch("step1")
    ledger.release("tiny", "step1")
    hub.commits["step1"] = hub.commits["step2"]
    assert len(restored(checkpoint)) == 1
    assert (checkpoint_folder(checkpoint) / "model.safetensors").read_bytes() == WEIGHTS[1]


def test_restored_weights_can_be_released_again(hub: Steps) -> None:
    checkpoint = fetch("step1")
    ledger.release("tiny", "step1")
    restored(checkpoint)
    assert list(ledger.release("tiny", "step1").values()) == [SIZE]


def test_other_weights_under_the_same_commit_are_refused(hub: Steps) -> None:
    checkpoint = fetch("step1")
    ledger.release("tiny", "step1")
    hub.own[hub.commits["step1"]] = {"model.safetensors": WEIGHTS[2]}
    with pytest.raises(InputError, match=r"model\.safetensors: sha256 is"):
        restored(checkpoint)


def test_weights_that_are_there_are_not_fetched(hub: Steps) -> None:
    checkpoint = fetch("step1")
    asked = len(hub.requests)
    assert restored(checkpoint) == ["nothing to restore"]
    assert len(hub.requests) == asked


def test_as_much_is_restored_as_fits_and_the_rest_is_counted(hub: Steps) -> None:
    checkpoints = [fetch(f"step{step}") for step in (1, 2, 3)]
    for step in (1, 2, 3):
        ledger.release("tiny", f"step{step}")
    lines = restored(*checkpoints, budget=2.5 * SIZE)
    assert [line.partition(":")[0] for line in lines[:2]] == ["tiny step1", "tiny step2"]
    assert lines[2].startswith("1 more do not fit in weights_budget_gb")
    with pytest.raises(ledger.NoRoom, match="held by tiny step1, tiny step2"):
        restored(checkpoints[2], budget=2.5 * SIZE)


def test_an_untrained_twin_comes_back_where_the_cache_was_emptied(hub: Steps) -> None:
    twin = fetch("untrained-seed1")
    (checkpoint_folder(twin) / "config.json").unlink()
    with pytest.raises(InputError, match="make fetch"):
        checkpoint_folder(twin)
    assert len(restored(twin)) == 1
    assert checkpoint_folder(twin).name == COMMIT


def test_binary_weights_leave_with_what_was_converted_from_them_and_come_back(hub: Steps) -> None:
    torch = pytest.importorskip("torch")
    binary = BytesIO()
    torch.save({"a": torch.arange(1000.0)}, binary)
    hub.own[hub.commits["step1"]] = {"pytorch_model.bin": binary.getvalue()}
    checkpoint = fetch("step1", weights="bin")
    converted = Path(checkpoint["folder"]) / "model.safetensors"
    files = ledger.release("tiny", "step1")
    assert sorted(Path(path).suffix for path in files) == ["", ".safetensors"]
    assert not converted.exists()
    restored(checkpoint)
    assert converted.exists() and checkpoint_folder(checkpoint) == converted.parent


def test_downloads_do_not_go_into_the_store_that_repositories_share() -> None:
    code = (
        "import lmcortex.models.restore; from huggingface_hub import constants; "
        "print(constants.HF_HUB_DISABLE_SHARED_BLOBS)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"


STUDY = """
title: All that reads weights
datasets: [simulated-story]
fits: [runs]
models:
  - {name: pythia-14m, checkpoints: [step1, step2]}
analyses: [geometry, windows, networks]
windows: [pydoc]
"""
PLACE = {"dataset": "simulated-story", "text": "pydoc", "model": "pythia-14m"}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    study = tmp_path / "mine.yaml"
    study.write_text(STUDY)
    return load_plan({"study": str(study)}, CONFIG)


@pytest.mark.parametrize(
    ("output", "checkpoint"),
    [
        (paths.FEATURES, "step1"),
        (paths.GEOMETRY, "step1"),
        (paths.NEURONS, "step1"),
        (paths.WINDOWS, "step1"),
        (paths.SWAPS, "step143000"),  # chosen by the last checkpoint, which the study does not list
    ],
)
def test_a_job_that_reads_weights_needs_them(plan: Plan, output: str, checkpoint: str) -> None:
    place = {**PLACE, "checkpoint": checkpoint}
    description = f"results/models/pythia-14m/{checkpoint}.json"
    assert needed_weights(plan, [output.format(**place)]) == [description]


def test_no_other_job_needs_weights_nor_does_one_whose_checkpoint_is_fetched(plan: Plan) -> None:
    fetched = paths.CHECKPOINT.format(model="pythia-14m", checkpoint="step2")
    features = paths.FEATURES.format(**PLACE, checkpoint="step2")
    assert needed_weights(plan, [fetched, features, *plan.all_fits(), *plan.tables()]) == []


def test_the_weights_that_choose_swaps_are_listed_first(plan: Plan) -> None:
    outputs = [*plan.all_features(), *plan.window_files(), *plan.swap_files()]
    assert needed_weights(plan, outputs)[0] == "results/models/pythia-14m/step143000.json"
