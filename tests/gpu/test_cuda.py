"""A GPU computes what the processor computes. For a machine that has one: `make gpu-test`."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoConfig

from lmcortex import folds, responses, storage
from lmcortex.encoding import banded, devices, ridge, rotations
from lmcortex.models.fetch import fetch_checkpoint
from lmcortex.models.load import initialise
from lmcortex.stimuli import split_words, words_table
from lmcortex.suite import pydoc_passages, train_tokenizer
from lmcortex.suite.tokens import fast_tokenizer

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
# Largest distance of a layer's states from the processor's, as a share of their norm. TF32, with
# ten bits of the mantissa for float32's 23, would be at 3e-4.
TOLERANCE = {"float32": 2e-5, "bfloat16": 3e-2, "float16": 4e-3}
SIZES = {"hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 8}
SIZES |= {"intermediate_size": 1024, "max_position_embeddings": 128, "vocab_size": 512}
TEXTS = [passage.partition(".")[0][:60] for passage in pydoc_passages()[:120]]
ITEMS = pd.DataFrame({"item": [f"item-{number}" for number in range(120)], "run": "1"})
ITEMS = ITEMS.assign(time=np.arange(120.0), text=TEXTS)
FIT = {
    **{"dataset": "noise", "fit": "blocks", "model": "random", "checkpoint": "main"},
    **{"kind": "sentences", "pooling": "last", "response": None},
    "folds": {"scheme": "blocks", "n": 5, "gap": 0},
    "alphas": {"low": -3, "high": 5, "n": 17, "scale": "trace", "choice": "target"},
    **{"nuisance": [], "dtype": "float64", "predictions": "all"},
}
SPECS: dict[str, dict[str, Any]] = {
    "sentences": {"kind": "sentences", "poolings": ["last", "mean"]},
    "story": {"kind": "story", "context": {"tokens": None, "new_tokens": 64}},
}


@pytest.fixture(scope="module", autouse=True)
def gpu() -> str:
    if not torch.cuda.is_available():
        pytest.exit("torch sees no GPU: run `make gpu-test` on a machine that has one", 1)
    return torch.cuda.get_device_name()


@pytest.fixture(scope="module", params=["gpt_neox", "bert"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stimulus and a random model of 12 layers."""
    folder = tmp_path_factory.mktemp(request.param)
    config = AutoConfig.for_model(request.param, **SIZES)
    initialise(config, 1, torch.float32).save_pretrained(folder / "model")
    tokenizer = train_tokenizer(pydoc_passages(), SIZES["vocab_size"])
    fast_tokenizer(tokenizer, SIZES["max_position_embeddings"]).save_pretrained(folder / "model")
    spec = {"source": "folder", "folder": str(folder / "model")}
    storage.write_json(fetch_checkpoint("random", "main", spec), folder / "main.json")
    before, words = zip(*split_words("\n".join(TEXTS)), strict=True)
    storage.write_table(ITEMS, folder / "items.parquet", {})
    storage.write_table(words_table(words, before, run="1"), folder / "words.parquet", {})
    return folder


def run(script: str, spec: dict[str, Any], output: Path, **options: Path | str) -> dict[str, Any]:
    """Run a command of the workflow here; return the provenance of its output."""
    arguments = [f"--{name}={value}" for name, value in {**options, "output": output}.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments, "--spec", json.dumps(spec)])
        runpy.run_path(str(SCRIPTS / f"{script}.py"), run_name="__main__")
    return storage.read_provenance(output)


def extract(folder: Path, spec: dict[str, Any], device: str) -> tuple[Path, dict[str, Any]]:
    output = folder / f"{spec['kind']}-{spec['dtype']}-{device}.safetensors"
    stimulus = {name: folder / f"{name}.parquet" for name in ("items", "words")}
    options = {**stimulus, "checkpoint": folder / "main.json", "device": device}
    return output, run("extract_features", spec, output, **options)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", SPECS)
def test_states_are_those_of_the_processor(folder: Path, gpu: str, kind: str, dtype: str) -> None:
    spec = SPECS[kind] | {"dtype": dtype}
    made, expected = (extract(folder, spec, device) for device in ("cuda", "cpu"))
    assert (made[1]["device"], made[1]["dtype"], made[1]["tf32"]) == (gpu, dtype, False)
    with storage.open_arrays(made[0]) as states, storage.open_arrays(expected[0]) as reference:
        names = list(reference.keys())
        assert list(states.keys()) == names
        distances = {name: distance(states, reference, name) for name in names}
    assert {name: far for name, far in distances.items() if not far < TOLERANCE[dtype]} == {}


def distance(states: Any, reference: Any, name: str) -> float:
    expected = reference.get_tensor(name)
    return float(np.linalg.norm(states.get_tensor(name) - expected) / np.linalg.norm(expected))


def test_tf32_would_be_seen() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no TF32")
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=draw) for _ in range(2))
    torch.backends.cuda.matmul.allow_tf32 = True
    product = (left.cuda() @ right.cuda()).cpu()
    torch.backends.cuda.matmul.allow_tf32 = False
    exact = left.double() @ right.double()
    assert (product - exact).norm() > TOLERANCE["float32"] * exact.norm()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("width", [40, 400], ids=["fewer columns", "more columns than samples"])
def test_encoders_are_those_of_the_processor(width: int, dtype: str, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=(len(ITEMS), width))
    measured = scaled[:, :12] + rng.normal(size=(len(ITEMS), 12))
    parts = folds.make_folds(FIT["folds"], ITEMS)
    penalties = ridge.Penalties(np.logspace(-3, 5, 17))
    n_train = min(len(parts.outer(fold)[0]) for fold in range(parts.n))
    fits = []
    for device in ("cuda", "cpu"):
        assert devices.use_device(device) == device
        stimulus = rotations.stimulus_of([scaled], n_train, device)
        [(_, fit)] = ridge.fit_layer(
            stimulus,
            lambda: iter([(slice(12), measured)]),
            parts,
            penalties,
            device=device,
            dtype=dtype,
        )
        fits.append(fit)
    assert np.array_equal(fits[0].alpha_index, fits[1].alpha_index)
    for name in ("r_test", "r_inner", "prediction"):
        np.testing.assert_allclose(getattr(fits[0], name), getattr(fits[1], name), atol=tolerance)


def test_a_gain_over_a_nuisance_is_that_of_the_processor() -> None:
    rng = np.random.default_rng(0)
    model, known = rng.normal(size=(len(ITEMS), 40)), rng.normal(size=(len(ITEMS), 2))
    measured = model[:, :12] + known[:, :1] + rng.normal(size=(len(ITEMS), 12))
    parts = folds.make_folds(FIT["folds"], ITEMS)
    fits = []
    for device in ("cuda", "cpu"):
        kernels = [devices.put(band @ band.T, device) for band in (model, known)]
        [(_, fit)] = banded.fit_banded(
            kernels[0],
            kernels[1:],
            lambda: iter([(slice(12), measured)]),
            parts,
            np.logspace(-3, 5, 17),
            device=device,
        )
        fits.append(fit)
    for name in fits[0]._fields:
        np.testing.assert_allclose(getattr(fits[0], name), getattr(fits[1], name), atol=1e-6)


def test_the_fitting_command_says_that_it_ran_on_the_gpu_without_tf32(folder: Path) -> None:
    features, _ = extract(folder, SPECS["sentences"] | {"dtype": "float32"}, "cpu")
    targets = responses.target_table([{"target": "LIFG", "roi": "IFG", "hemisphere": "L"}])
    values = np.random.default_rng(0).normal(size=(len(ITEMS), 1))
    measured = responses.to_dataset(values, ITEMS, targets, dataset="noise", subject="01")
    storage.write_dataset(measured, folder / "responses.nc", {})
    stimulus = {name: folder / f"{name}.parquet" for name in ("items", "words")}
    options = {**stimulus, "features": features, "responses": folder / "responses.nc"}
    made = run("fit_encoding", FIT, folder / "fit.nc", **options, device="cuda")
    assert (made["device"], made["dtype"], made["tf32"]) == ("cuda", "float64", False)
    assert not torch.backends.cuda.matmul.allow_tf32
