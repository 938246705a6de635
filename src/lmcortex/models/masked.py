"""Masked language models with their head, which guess a word from those around it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmcortex.errors import InputError
from lmcortex.models.load import checkpoint_folder, go_offline, pick_device

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_masked_model(checkpoint: Mapping[str, Any], device: str = "auto") -> "PreTrainedModel":
    """Load a checkpoint with its language-model head, ready for inference in float32.

    Parameters
    ----------
    checkpoint : a description made by `lmcortex.models.fetch.fetch_checkpoint`.
    device : "auto", "cpu" or "cuda".

    Raises
    ------
    InputError : the files hold no such head, as those of sentence encoders.
    """
    import torch

    target = pick_device(device)
    go_offline()
    folder = checkpoint_folder(checkpoint)
    from transformers import AutoModelForMaskedLM

    model, info = AutoModelForMaskedLM.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    if missing := sorted(info["missing_keys"]):
        raise InputError(
            f"{checkpoint['model']}: {missing[0]} is not in {folder}, so that its guesses would be "
            "random; set `masked_model` to one with a language-model head, as bert-base-uncased"
        )
    return model.to(target).eval()
