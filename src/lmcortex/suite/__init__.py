"""A suite of small language models, trained here from scratch.

The models are GPT-NeoX (the architecture of Pythia) of several sizes that read the same text in
the same order, saved at listed steps as Hugging Face folders, so that scaling and training can be
studied without a download. `text` and `training.n_params` are light: nothing is imported for them.
"""

from lmcortex.suite.text import pydoc_passages, read_passages, split_passages
from lmcortex.suite.tokens import train_tokenizer
from lmcortex.suite.training import n_params, train_suite

__all__ = [
    "n_params",
    "pydoc_passages",
    "read_passages",
    "split_passages",
    "train_suite",
    "train_tokenizer",
]
