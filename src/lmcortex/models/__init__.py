"""Language models: where their weights come from, and the states inside them.

`fetch` goes online and is light; `load` and `residual` use what it left on disk.
"""

from lmcortex.models.load import (
    checkpoint_folder,
    context_length,
    load_model,
    load_tokenizer,
    pick_device,
)
from lmcortex.models.residual import blocks, residual_states

__all__ = [
    "blocks",
    "checkpoint_folder",
    "context_length",
    "load_model",
    "load_tokenizer",
    "pick_device",
    "residual_states",
]
