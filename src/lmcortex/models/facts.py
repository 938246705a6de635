"""What a file made by forward passes says of how it was made."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def forward_facts(
    model: "PreTrainedModel", checkpoint: Mapping[str, Any], read: Any, n_rows: int, threads: int
) -> dict[str, Any]:
    """Return facts for provenance.

    Parameters
    ----------
    model : as it computed.
    checkpoint : description made by `lmcortex.models.fetch.fetch_checkpoint`.
    read : texts that the model read, as lists of strings.
    n_rows : rows of the result.
    threads : processor threads.
    """
    return {
        "device": describe_device(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "tf32": False,
        "threads": threads,
        "commit": checkpoint["commit"],
        "fingerprint": checkpoint["fingerprint"],
        "tokenizer_hash": checkpoint["tokenizer_hash"],
        "text_hash": hashlib.sha256(json.dumps(read).encode()).hexdigest(),
        "n_rows": n_rows,
    }


def describe_device(device: "torch.device") -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
