"""Language models: where their weights come from, and the states inside them.

`fetch` goes online and is light; `load`, `residual` and `neurons` use what it left on disk.
"""

from lmcortex.models.facts import forward_facts
from lmcortex.models.load import (
    checkpoint_folder,
    context_length,
    load_model,
    load_tokenizer,
    pick_device,
)
from lmcortex.models.neurons import neuron_outputs
from lmcortex.models.residual import blocks, residual_states

__all__ = [
    "blocks",
    "checkpoint_folder",
    "context_length",
    "forward_facts",
    "load_model",
    "load_tokenizer",
    "neuron_outputs",
    "pick_device",
    "residual_states",
]
