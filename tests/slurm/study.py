"""The demo, cut to a few checkpoints, in a folder of its own, as if cloned there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from cluster import SYSTEM_CONF

ROOT = Path(__file__).resolve().parents[2]
NAME = "cut"
STUDY = {
    "title": "The demo, cut to a few checkpoints",
    "datasets": ["simulated-sentences"],
    "fits": ["shuffled-5-mean"],
    "models": [{"name": "suite-l", "checkpoints": ["step0", "step4"]}],
    "baselines": [],
    "untrained": False,
}
SIZE = {"n_layers": 2, "width": 32, "n_heads": 2}
VOCABULARY, CONTEXT = 512, 256
HUB_MODELS = {  # a family of the registry, for the repository of tests/hub.py
    "citation": "random weights",
    "revision": "step{step}",
    "steps": [512],
    "tokens_per_step": 1,
    "context": CONTEXT,
    "models": {"hub-tiny": {"repo": "lab/tiny", "n_layers": 2, "width": 32}},
}


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """Yield the content of a YAML file; write what became of it."""
    content = yaml.safe_load(path.read_text())
    yield content
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def new_study(folder: Path) -> None:
    """Lay the repository's working files out in `folder`, the small study their default."""
    for name in ("config", "profiles", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "slurm").symlink_to("profiles/slurm")
    config = folder / "config"
    (config / "studies" / f"{NAME}.yaml").write_text(yaml.safe_dump(STUDY))
    with edited(config / "config.yaml") as site:
        site["study"] = NAME
    with edited(config / "suites.yaml") as suites:
        model = {**SIZE, "learning_rate": 2e-3, "checkpoints": [0, 4]}
        suites["demo"] |= {"vocabulary": VOCABULARY, "models": {"suite-l": model}}
    with edited(config / "datasets" / "simulated-sentences.yaml") as dataset:
        dataset["subjects"] = ["01", "02"]
        dataset["stimuli"]["sentences"] = 60
        dataset["planted"]["sizes"] = [10**6, 10**8, 10**10]
        dataset["planted"]["learning"]["steps"] = [143000]


def fit_to_cluster(folder: Path) -> None:
    """Set up, in `folder`, what a user of the cluster that runs now would set up."""
    site = folder / "profiles" / "slurm" / "site.yaml"
    subprocess.run(  # make site
        [sys.executable, "workflow/scripts/write_site.py", "--site", str(site)],
        cwd=folder,
        env=os.environ | {"SLURM_CONF": str(SYSTEM_CONF)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with edited(site) as settings:
        settings["device"] = "cpu"  # the GPUs are stand-ins
    with edited(site.with_name("config.yaml")) as profile:
        # Jobs take seconds here: ask after two, not forty, whether they are done.
        profile["slurm-init-seconds-before-status-checks"] = 2


def add_hub_model(folder: Path) -> None:
    """Add a model of the hub to the study in `folder`."""
    with edited(folder / "config" / "models.yaml") as models:
        models["random"] = HUB_MODELS
    with edited(folder / "config" / "studies" / f"{NAME}.yaml") as study:
        study["models"].append({"name": "hub-tiny", "checkpoints": "final"})


def hub_files() -> dict[str, bytes]:
    """Return the files of a GPT-NeoX with random weights, by name."""
    from safetensors.numpy import save
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    width = SIZE["width"]
    config = {
        "model_type": "gpt_neox",
        "vocab_size": len(letters),
        "hidden_size": width,
        "num_hidden_layers": SIZE["n_layers"],
        "num_attention_heads": SIZE["n_heads"],
        "intermediate_size": 4 * width,
        "max_position_embeddings": CONTEXT,
    }
    linear = {
        "attention.query_key_value": (3 * width, width),
        "attention.dense": (width, width),
        "mlp.dense_h_to_4h": (4 * width, width),
        "mlp.dense_4h_to_h": (width, 4 * width),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "gpt_neox.embed_in.weight": (len(letters), width),
        "embed_out.weight": (len(letters), width),
        "gpt_neox.final_layer_norm.weight": (width,),
        "gpt_neox.final_layer_norm.bias": (width,),
    }
    for layer in range(SIZE["n_layers"]):
        block = f"gpt_neox.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
        for name, shape in linear.items():
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(0, 0.1, shape).astype("f4") for name, shape in shapes.items()}
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}',
        "model.safetensors": save(weights),
    }


def login_shell(environment: dict[str, str], **settings: str) -> dict[str, str]:
    """Return the environment of a user whose `snakemake` is that of these tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment | {"PATH": path} | settings


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the study's tables by name, but for the one that says how and when all was made."""
    found = (folder / "results" / "studies" / NAME / "tables").glob("*.parquet")
    return {path.stem: pd.read_parquet(path) for path in found if path.stem != "provenance"}
