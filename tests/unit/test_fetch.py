"""Fetching checkpoints: from a hub on loopback, from folders, packages and suites."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub import COMMIT, Hub, serve
from safetensors.numpy import save

from lmcortex.errors import InputError
from lmcortex.models import files
from lmcortex.models.fetch import fetch_checkpoint

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "fetch_checkpoint.py"
WITHOUT_WAITING = (
    "import runpy, sys, time; time.sleep = lambda seconds: None; sys.argv.pop(0); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
WEIGHTS = save({"a": np.ones((3, 5), np.float32), "b": np.zeros(7, np.float16)})
FILES = {
    "config.json": b'{"model_type": "gpt2"}',
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "model.fp16.safetensors": WEIGHTS,
    "README.md": b"not needed",
}
HUB = {"source": "hub", "repo": "lab/tiny", "revision": "step512", "task": "causal"}


def fetch(
    hub: Hub, folder: Path, checkpoint: str = "step512", offline: bool = False, **spec: Any
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Run the command in a process of its own, as the hub's client reads its settings on import.

    Its waits between attempts are left out.
    """
    output = folder / f"{checkpoint}.json"
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_TOKEN": "secret-token",
        "HF_HUB_OFFLINE": str(int(offline)),
        "NO_PROXY": "127.0.0.1",
    }
    command = [
        *(sys.executable, "-c", WITHOUT_WAITING, str(SCRIPT)),
        *("--model", "tiny", "--checkpoint", checkpoint),
        *("--spec", json.dumps(HUB | spec), "--output", str(output)),
    ]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return json.loads(output.read_text()) if output.exists() else {}, ran


def the_error(ran: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a failed command ends with."""
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    return ran.stderr.splitlines()[-1]


def test_a_fetched_checkpoint_is_described_by_commit_digests_and_parameter_count(tmp_path):
    with serve(Hub(FILES)) as hub:
        found, ran = fetch(hub, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (found["repo"], found["revision"], found["commit"]) == ("lab/tiny", "step512", COMMIT)
    assert set(found["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert found["files"]["model.safetensors"] == {"size": len(WEIGHTS), "sha256": digest}
    assert found["fingerprint"] == hashlib.sha256(digest.encode()).hexdigest()
    assert found["n_params"] == 3 * 5 + 7


def test_only_needed_files_are_downloaded_and_the_token_is_sent_but_not_shown(tmp_path):
    with serve(Hub(FILES)) as hub:
        found, ran = fetch(hub, tmp_path)
    assert not [request for request in hub.requests if "README" in request or "fp16" in request]
    assert hub.tokens == {"Bearer secret-token"}
    assert "secret-token" not in json.dumps(found) + ran.stdout + ran.stderr


def test_a_fetched_checkpoint_is_found_again_without_the_hub(tmp_path):
    with serve(Hub(FILES)) as hub:
        online, _ = fetch(hub, tmp_path)
        asked = len(hub.requests)
        (tmp_path / "step512.json").unlink()
        offline, ran = fetch(hub, tmp_path, offline=True)
        assert len(hub.requests) == asked
    assert ran.returncode == 0, ran.stderr
    assert offline == online


def test_a_tokenizer_may_be_of_another_repository(tmp_path):
    class Two(Hub):
        """A model without a tokenizer, and the repository that has it."""

        def at(self, path: str) -> Hub:
            return words if words.repo in path else model

    words = Hub(
        {"config.json": b"{}", "vocab.txt": b"a", "model.safetensors": WEIGHTS}, "lab/words"
    )
    model = Hub({name: FILES[name] for name in ("config.json", "model.safetensors")})
    with serve(Two({})) as hub:
        found, ran = fetch(hub, tmp_path, tokenizer="lab/words")
        again, _ = fetch(hub, tmp_path, offline=True, tokenizer="lab/words")
    assert ran.returncode == 0, ran.stderr
    assert again == found
    assert set(found["files"]) == {"config.json", "model.safetensors"}
    assert set(found["tokenizer"]["files"]) == {"config.json", "vocab.txt"}
    assert (found["tokenizer"]["repo"], found["tokenizer"]["commit"]) == ("lab/words", COMMIT)
    vocabulary = found["tokenizer"]["files"]["vocab.txt"]["sha256"]
    assert found["tokenizer_hash"] == hashlib.sha256(vocabulary.encode()).hexdigest()
    assert not [request for request in words.requests if "safetensors" in request]


def test_an_untrained_checkpoint_needs_no_weights_and_its_seed_changes_its_fingerprint(tmp_path):
    with serve(Hub(FILES)) as hub:
        first, ran = fetch(hub, tmp_path, "untrained-seed1", n_params=123)
        second, _ = fetch(hub, tmp_path, "untrained-seed2")
    assert ran.returncode == 0, ran.stderr
    assert not [request for request in hub.requests if "safetensors" in request]
    assert (first["seed"], first["n_params"]) == (1, 123)
    assert first["fingerprint"] != second["fingerprint"]
    assert first["tokenizer_hash"] == second["tokenizer_hash"]


def test_a_connection_that_drops_once_is_resumed_where_it_broke_off(tmp_path):
    weights = save({"a": np.zeros(6 * 2**20, np.float32)})
    content = FILES | {"model.safetensors": weights}
    with serve(Hub(content, drops=Counter({"model.safetensors": 1}))) as hub:
        found, ran = fetch(hub, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert found["files"]["model.safetensors"]["sha256"] == hashlib.sha256(weights).hexdigest()
    # The client keeps what arrived in whole chunks of 10 MiB.
    assert [request for request in hub.requests if request.endswith(f"bytes={10 * 2**20}-")]


@pytest.mark.parametrize(
    ("faults", "spec", "message"),
    [
        ({"gated": True}, {}, "access is restricted"),
        ({}, {"revision": "step7"}, "lab/tiny at step7: the repository has no such revision"),
        ({}, {"repo": "lab/none"}, "lab/none at step512: no such repository"),
        ({"shorter": {"model.safetensors"}}, {}, "model.safetensors: it did not arrive whole"),
        ({"altered": {"model.safetensors"}}, {}, "sha256 is"),
    ],
    ids=["gated", "revision", "repository", "truncated", "altered"],
)
def test_a_failure_at_the_hub_is_one_line_and_leaves_no_output(tmp_path, faults, spec, message):
    with serve(Hub(FILES, **faults)) as hub:
        found, ran = fetch(hub, tmp_path, **spec)
    assert message in the_error(ran)
    assert not found


def test_a_hub_that_cannot_be_reached_is_tried_again_and_then_named(tmp_path):
    with serve(Hub(FILES)) as hub:
        pass
    _, ran = fetch(hub, tmp_path)
    assert "the connection to the hub failed 3 times" in the_error(ran)


def test_a_connection_that_always_drops_fails_clearly(tmp_path):
    names = ("model.safetensors", "config.json", "tokenizer.json")
    with serve(Hub(FILES, drops=Counter(dict.fromkeys(names, 10**6)))) as hub:
        found, ran = fetch(hub, tmp_path)
    assert "failed 3 times" in the_error(ran)
    assert not found


def test_being_offline_without_the_files_says_what_to_do(tmp_path):
    _, ran = fetch(Hub(FILES), tmp_path, offline=True)
    assert "is not in the Hugging Face cache" in the_error(ran)


def test_fetching_imports_neither_torch_nor_transformers():
    code = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); import huggingface_hub.hf_api; "
        "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def write(folder: Path, content: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def from_folder(folder: Path, checkpoint: str = "main", **spec: Any) -> dict[str, Any]:
    return fetch_checkpoint("tiny", checkpoint, {"source": "folder", "folder": str(folder), **spec})


def test_masks_stored_beside_the_weights_are_not_counted_as_parameters(tmp_path):
    tensors = {
        "attn.bias": np.ones((1, 1, 8, 8), np.float32),
        "attention.bias": np.ones((1, 1, 8, 8), bool),
        "weight": np.ones((4, 4), np.float32),
    }
    found = from_folder(write(tmp_path, FILES | {"model.safetensors": save(tensors)}))
    assert found["n_params"] == 16


@pytest.mark.parametrize("size", [3, 20, len(WEIGHTS) - 1])
def test_truncated_safetensors_are_refused(tmp_path, size):
    write(tmp_path, FILES | {"model.safetensors": WEIGHTS[:size]})
    with pytest.raises(InputError, match=r"model\.safetensors: .*delete it"):
        from_folder(tmp_path)


def test_shards_count_together_and_a_missing_one_is_named(tmp_path):
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    index = {"weight_map": {"a": first, "b": second}}
    content = {
        "config.json": b"{}",
        "tokenizer.json": b"{}",
        first: save({"a": np.ones(3, np.float32)}),
        second: save({"b": np.ones(4, np.float32)}),
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    assert from_folder(write(tmp_path, content))["n_params"] == 7
    (tmp_path / second).unlink()
    with pytest.raises(InputError, match=second):
        from_folder(tmp_path)


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("config.json", r"no config\.json"),
        ("tokenizer.json", "no tokenizer files"),
        ("model.safetensors", "no safetensors weights"),
    ],
)
def test_a_folder_that_lacks_a_part_of_the_model_is_refused(tmp_path, absent, message):
    write(tmp_path, {name: data for name, data in FILES.items() if name != absent})
    with pytest.raises(InputError, match=message):
        from_folder(tmp_path)


def test_binary_weights_are_converted_only_on_request_and_keep_their_values(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from huggingface_hub import constants
    from safetensors.torch import load_file

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
    folder = write(tmp_path / "m", {"config.json": b"{}", "tokenizer.json": b"{}"})
    tied = torch.arange(6.0).reshape(2, 3)
    torch.save({"embed": tied, "head": tied}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="weights: bin"):
        from_folder(folder)
    found = from_folder(folder, weights="bin")
    kept = load_file(Path(found["folder"]) / "model.safetensors")
    assert torch.equal(kept["embed"], tied) and torch.equal(kept["head"], tied)
    assert set(found["files"]) == {"config.json", "tokenizer.json", "model.safetensors"}


def test_binary_weights_that_would_run_code_are_refused(tmp_path):
    import pickle

    folder = write(tmp_path, {"config.json": b"{}", "tokenizer.json": b"{}"})
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": os.system}))
    with pytest.raises(InputError, match="not a whole file of plain tensors"):
        from_folder(folder, weights="bin")


@pytest.fixture
def suite(tmp_path) -> Path:
    folder = write(tmp_path / "tiny" / "step0", FILES)
    listed = {"folder": "tiny/step0", "files": files.facts(folder, FILES)}
    manifest = tmp_path / "suite.json"
    manifest.write_text(json.dumps({"models": {"tiny": {"checkpoints": {"step0": listed}}}}))
    return manifest


def test_a_suite_checkpoint_is_found_through_its_manifest(suite):
    found = fetch_checkpoint("tiny", "step0", {"source": "suite"}, suite)
    assert found["folder"] == str(suite.parent / "tiny" / "step0")
    fresh = fetch_checkpoint("tiny", "untrained-seed3", {"source": "suite"}, suite)
    assert (fresh["seed"], "model.safetensors" in fresh["files"]) == (3, False)


def test_a_suite_checkpoint_that_is_absent_or_altered_is_refused(suite):
    with pytest.raises(InputError, match="no tiny step9; it holds step0"):
        fetch_checkpoint("tiny", "step9", {"source": "suite"}, suite)
    path = suite.parent / "tiny" / "step0" / "model.safetensors"
    path.write_bytes(WEIGHTS[:-1] + b"\x01")
    with pytest.raises(InputError, match=r"model\.safetensors: sha256 is"):
        fetch_checkpoint("tiny", "step0", {"source": "suite"}, suite)


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(InputError, match="no_such_package: this Python package"):
        fetch_checkpoint("tiny", "main", {"source": "package", "package": "no_such_package"})
