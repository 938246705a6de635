"""Models and tokenizers from the files that a checkpoint's description names; never online."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcortex.errors import InputError
from lmcortex.models import files

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

DTYPES = ("float32", "bfloat16", "float16")
# Tokenizers without a limit of their own report 1e30.
NO_LIMIT = 10**6
# Modules that read the states after the last block: nothing here depends on their weights.
AFTER_BLOCKS = ("pooler.",)


def checkpoint_folder(checkpoint: Mapping[str, Any]) -> Path:
    """Return the folder that holds a checkpoint's files on this machine, after checking them.

    Sizes are checked always, digests where the storage is not addressed by content.

    Parameters
    ----------
    checkpoint : a description made by `lmcortex.models.fetch.fetch_checkpoint`.

    Raises
    ------
    InputError : a file is absent or is not the one described.
    """
    name = f"{checkpoint['model']} {checkpoint['checkpoint']}"
    if checkpoint["source"] == "hub" and not is_here(checkpoint):
        raise InputError(
            f"{name}: its files have left the Hugging Face cache; bring back those that the study "
            "still needs with `make fetch STUDY=...`"
        )
    folder = locate(checkpoint)
    if folder is None or not folder.is_dir():
        raise InputError(f"{name}: its files are not on this machine; run fetch_checkpoint again")
    for file, facts in checkpoint["files"].items():
        path = folder / file
        if not path.is_file() or path.stat().st_size != facts["size"]:
            raise InputError(
                f"{path}: {facts['size']} bytes expected, "
                f"found {path.stat().st_size if path.is_file() else 'no file'}; "
                "delete it and run fetch_checkpoint again"
            )
        if checkpoint["source"] != "hub" and files.sha256(path) != facts["sha256"]:
            raise InputError(
                f"{path}: changed since {name} was described (sha256 differs); "
                "run fetch_checkpoint again"
            )
    return folder


def is_here(checkpoint: Mapping[str, Any]) -> bool:
    """Say whether every file of a checkpoint is on this machine, without looking into it."""
    folder = locate(checkpoint)
    return folder is not None and all((folder / file).is_file() for file in checkpoint["files"])


def locate(checkpoint: Mapping[str, Any]) -> Path | None:
    if checkpoint["folder"]:
        return Path(checkpoint["folder"])
    if checkpoint["package"]:
        return files.package_folder(checkpoint["package"], checkpoint["subfolder"])
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(checkpoint["repo"], files.CONFIG, revision=checkpoint["commit"])
    return Path(config).parent if isinstance(config, str) else None


def load_model(
    checkpoint: Mapping[str, Any], dtype: str = "float32", device: str = "auto"
) -> "PreTrainedModel":
    """Load a checkpoint as a base model (no language-model head), ready for inference.

    An untrained checkpoint gets fresh weights, drawn on the processor in float32 under its seed,
    so that they are the same for every dtype and device.

    Parameters
    ----------
    checkpoint : a description made by `lmcortex.models.fetch.fetch_checkpoint`.
    dtype : "float32", "bfloat16" or "float16".
    device : "auto", "cpu" or "cuda".

    Raises
    ------
    InputError : the files are not whole, the architecture needs code from outside, the device is
        absent, or weights before the last state are missing (they would be random).
    """
    import torch

    target = pick_device(device)
    if dtype not in DTYPES:
        raise InputError(f"dtype: {dtype!r} is not one of {', '.join(DTYPES)}")
    go_offline()
    folder = checkpoint_folder(checkpoint)
    from transformers import AutoConfig

    # Without an explicit False, transformers asks at the terminal whether to run foreign code.
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except ValueError as error:
        raise InputError(
            f"{checkpoint['model']}: {folder / files.CONFIG} names an architecture that this "
            "version of transformers does not hold; code from model repositories is never run"
        ) from error
    model: Any
    if checkpoint["seed"] is None:
        model = load_trained(checkpoint, folder, getattr(torch, dtype))
    else:
        model = initialise(config, checkpoint["seed"], getattr(torch, dtype))
    model.config.use_cache = False
    return model.to(target).eval()


def initialise(config: "PretrainedConfig", seed: int, dtype: "torch.dtype") -> "PreTrainedModel":
    """Draw fresh weights; buffers such as rotary frequencies stay float32, as in a loaded model."""
    import torch
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def load_trained(
    checkpoint: Mapping[str, Any], folder: Path, dtype: "torch.dtype"
) -> "PreTrainedModel":
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(
        folder,
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(AFTER_BLOCKS))
    if missing:
        raise InputError(
            f"{checkpoint['model']} {checkpoint['checkpoint']}: {len(missing)} weights of "
            f"{type(model).__name__} are not in {folder} (the first is {missing[0]}) and would be "
            "random; choose a checkpoint that was saved from this architecture"
        )
    return model


def load_tokenizer(checkpoint: Mapping[str, Any]) -> "PreTrainedTokenizerFast":
    """Load a checkpoint's tokenizer; it must be a fast one, which knows character offsets.

    One that is from another repository may know a limit of that one's model, which is lifted.
    """
    other = checkpoint.get("tokenizer")
    folder = checkpoint_folder(other or checkpoint)
    go_offline()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if not tokenizer.is_fast:
        raise InputError(
            f"{checkpoint['model']}: {type(tokenizer).__name__} gives no character offsets; "
            "the model needs a tokenizer.json"
        )
    if other:
        tokenizer.model_max_length = NO_LIMIT
    return tokenizer


def context_length(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast") -> int | None:
    """Return how many tokens, special ones included, the model takes at once; None: any number."""
    limits = [
        getattr(model.config, "max_position_embeddings", None),
        tokenizer.model_max_length,
    ]
    return min((int(limit) for limit in limits if limit and limit < NO_LIMIT), default=None)


def pick_device(name: str) -> "torch.device":
    """Return the device that `name` stands for, with TF32 arithmetic switched off.

    Raises
    ------
    InputError : "cuda" is asked for and there is none; work never moves to the CPU silently.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    match name:
        case "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        case "cpu":
            return torch.device("cpu")
        case "cuda" if torch.cuda.is_available():
            return torch.device("cuda")
        case "cuda":
            raise InputError(
                "device: cuda was asked for, but torch sees no GPU; ask the scheduler for one, or "
                "set `device: cpu`"
            )
    raise InputError(f"device: {name!r} is not one of auto, cpu, cuda")


def go_offline() -> None:
    """Keep transformers off the network and quiet; call it before the first import of it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
