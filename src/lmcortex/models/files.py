"""The files of a checkpoint: which ones matter, what they hold, and whether they are whole."""

import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lmcortex.errors import InputError

CONFIG = "config.json"
TOKENIZER = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
FLOATS = {"F64", "F32", "F16", "BF16"}

Facts = dict[str, dict[str, Any]]


def weight_files(
    names: Iterable[str], stem: str = "model", suffix: str = "safetensors"
) -> list[str]:
    """Choose the weight files that transformers would load: one file, else the indexed shards.

    Repositories may hold other weights beside them (``consolidated.safetensors``,
    ``model.fp16.safetensors``), which are copies.
    """
    names = set(names)
    if f"{stem}.{suffix}" in names:
        return [f"{stem}.{suffix}"]
    shard = re.compile(rf"{stem}-\d{{5}}-of-\d{{5}}\.{suffix}")
    shards = sorted(name for name in names if shard.fullmatch(name))
    index = f"{stem}.{suffix}.index.json"
    return [*shards, index] if shards and index in names else []


def support_files(names: Iterable[str]) -> list[str]:
    """Choose the configuration and the tokenizer's files."""
    return sorted({CONFIG, *TOKENIZER} & set(names))


def facts(folder: Path, names: Iterable[str]) -> Facts:
    """Return ``{name: {"size": bytes, "sha256": digest}}`` of files in `folder`."""
    paths = {name: folder / name for name in sorted(names)}
    return {
        name: {"size": path.stat().st_size, "sha256": sha256(path)} for name, path in paths.items()
    }


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_facts(folder: Path, found: Facts, expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse files whose size or digest is not what their source says."""
    for name in sorted(found.keys() & expected.keys()):
        for key in ("size", "sha256"):
            wanted = expected[name].get(key)
            if wanted is not None and found[name][key] != wanted:
                raise InputError(
                    f"{folder / name}: {key} is {found[name][key]}, its source says {wanted}; "
                    "the file is truncated or was changed: delete it and fetch again"
                )


def read_tensors(path: Path) -> dict[str, dict[str, Any]]:
    """Read the header of a safetensors file: ``{name: {"dtype", "shape", "data_offsets"}}``.

    The layout is https://huggingface.co/docs/safetensors: eight bytes with the header's length, the
    header as JSON, then the tensors, end to end, to the last byte of the file.

    Raises
    ------
    InputError : when the file is shorter or longer than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        header = file.read(header_size) if 0 < header_size <= size - 8 else b""
    try:
        tensors = json.loads(header)
    except ValueError as error:
        raise InputError(
            f"{path}: not a safetensors file, or one cut off in its header ({size} bytes); "
            "delete it and fetch again"
        ) from error
    tensors.pop("__metadata__", None)
    whole = 8 + header_size + max((t["data_offsets"][1] for t in tensors.values()), default=0)
    if size != whole:
        raise InputError(
            f"{path}: {size} bytes, but its header describes {whole}; delete it and fetch again"
        )
    return tensors


def count_parameters(folder: Path, weights: Iterable[str]) -> int:
    """Count the parameters stored in `weights` (see `weight_files`) and check that none is missing.

    Integer tensors and the (1, 1, n, n) causal masks that early GPT-2 and GPT-NeoX exports carry
    are buffers, not parameters.
    """
    weights = list(weights)
    tensors: dict[str, dict[str, Any]] = {}
    for name in weights:
        if name.endswith(".safetensors"):
            tensors |= read_tensors(folder / name)
    for name in weights:
        if name.endswith(".index.json"):
            listed = json.loads((folder / name).read_text("utf-8"))["weight_map"]
            if missing := sorted(listed.keys() - tensors.keys()):
                raise InputError(
                    f"{folder / name}: lists {len(missing)} tensors that no shard holds, the first "
                    f"is {missing[0]} in {listed[missing[0]]}; fetch that file again"
                )
    return sum(
        math.prod(tensor["shape"])
        for tensor in tensors.values()
        if tensor["dtype"] in FLOATS
        and not (len(tensor["shape"]) == 4 and tensor["shape"][:2] == [1, 1])
    )


def combined_digest(found: Facts, names: Iterable[str], *salt: str) -> str:
    """Digest the digests of some of the files, in sorted order, and any further strings."""
    digests = sorted(found[name]["sha256"] for name in names)
    return hashlib.sha256("\n".join([*digests, *salt]).encode()).hexdigest()


def package_folder(package: str, subfolder: str) -> Path:
    """Return a folder inside an installed package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"{package}: this Python package holds the model but is not installed; install it"
        )
    return Path(found.submodule_search_locations[0]) / subfolder
