"""Artificial neurons: what the second layer of each block's feed-forward network puts out."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lmcortex.errors import InputError
from lmcortex.models.residual import blocks

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# Where the second feed-forward layer stands in a block, by `model_type` of the configuration.
SECOND_LAYERS = {
    "bert": "output.dense",
    "gpt2": "mlp.c_proj",
    "gpt_neox": "mlp.dense_4h_to_h",
    "opt": "fc2",
    **dict.fromkeys(("gemma", "llama", "mistral", "qwen2", "stablelm"), "mlp.down_proj"),
}


def neuron_outputs(model: "PreTrainedModel", tokens: "torch.Tensor") -> "list[torch.Tensor]":
    """Run a model once and return what the second feed-forward layer of each block puts out.

    That is before dropout, the residual sum and any norm: one unit of it is an artificial neuron of
    arXiv 2410.19542. The place in the block is inferred; the paper's code is not public.

    Parameters
    ----------
    model : base model in inference mode.
    tokens : (batch x tokens) token numbers without padding.

    Returns
    -------
    L tensors (batch x tokens x width), of blocks 1 to L.

    Raises
    ------
    InputError : the architecture has no such layer that is known here.
    """
    import torch

    kind = model.config.model_type
    if kind not in SECOND_LAYERS:
        raise InputError(
            f"{type(model).__name__}: no second feed-forward layer is known for `{kind}`; leave "
            f"the model out of this analysis; known: {', '.join(sorted(SECOND_LAYERS))}"
        )
    outputs: list[torch.Tensor] = []

    def keep_output(module: Any, args: tuple[Any, ...], output: Any) -> None:
        # OPT's blocks flatten batch and tokens into one axis before this layer.
        outputs.append(output.reshape(*tokens.shape, -1))

    with torch.inference_mode(), ExitStack() as hooks:
        for block in blocks(model):
            layer = block.get_submodule(SECOND_LAYERS[kind])
            hooks.enter_context(layer.register_forward_hook(keep_output))
        model(tokens)
    return outputs
