"""States of the residual stream: what every block of a model reads and writes."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lmcortex.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel


def blocks(model: "PreTrainedModel") -> "nn.ModuleList":
    """Return the blocks of a model: its outermost module list as long as it has layers.

    Raises
    ------
    InputError : there is not exactly one, as in encoder-decoder models.
    """
    from torch import nn

    n_layers = getattr(model.config, "num_hidden_layers", None)
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_layers
    }
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(outer) != 1:
        raise InputError(
            f"{type(model).__name__}: one list of {n_layers} blocks expected, found {len(outer)}; "
            "models with an encoder and a decoder, or with shared blocks, are not supported"
        )
    return lists[outer[0]]


def residual_states(
    model: "PreTrainedModel", tokens: "torch.Tensor", **inputs: Any
) -> "list[torch.Tensor]":
    """Run a model once and return the residual stream around each of its blocks.

    Unlike ``output_hidden_states=True``, the last state stands before the final norm in every
    architecture, so that all layers are on one scale, and state 0 is there for all of them.

    Parameters
    ----------
    model : base model in inference mode.
    tokens : (batch x tokens) token numbers without padding.
    inputs : what else the model is given, such as the keys and values of a prefix.

    Returns
    -------
    L + 1 tensors (batch x tokens x width): the input of the first block (embeddings), then the
    output of each block.
    """
    import torch

    layers = blocks(model)
    states: list[torch.Tensor] = []

    def keep_input(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states.append(args[0] if args else kwargs["hidden_states"])

    def keep_output(module: Any, args: tuple[Any, ...], output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)

    with torch.inference_mode(), ExitStack() as hooks:
        hooks.enter_context(layers[0].register_forward_pre_hook(keep_input, with_kwargs=True))
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(keep_output))
        model(tokens, **inputs)
    return states
