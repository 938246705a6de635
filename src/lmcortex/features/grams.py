"""Inner products of the tokens of each sentence: all that the geometry of their states depends on.

They are a hundredth of the states in size, and are kept with the features, so that what is measured
of them can change without a model reading anything again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lmcortex import storage
from lmcortex.errors import InputError

if TYPE_CHECKING:
    import torch

TOKENS = "gram/tokens"
NORMED = "gram/normed"
# Numbers turned to float64 at once: new memory costs more than the products of what is in it.
PART = 2**20


class Grams(NamedTuple):
    """The inner products of the tokens of each sentence.

    Attributes
    ----------
    tokens : int64 (n_sentences,), how many each has, without special tokens.
    states : flat float64 arrays, one for each layer and, last, one for what the model puts out
        after its final norm: the (tokens x tokens) matrices of the sentences one after the other.
    """

    tokens: np.ndarray
    states: Sequence[np.ndarray]

    def put(self, state: int, rows: np.ndarray, gram: np.ndarray) -> None:
        """Keep the matrices (rows x tokens x tokens) of some sentences of equal length."""
        self.states[state][self._places(rows)] = gram.reshape(len(rows), -1)

    def of(self, state: int, rows: np.ndarray) -> np.ndarray:
        """Return the matrices (rows x tokens x tokens) of some sentences of equal length."""
        n_tokens = self.tokens[rows[0]]
        return self.states[state][self._places(rows)].reshape(len(rows), n_tokens, n_tokens)

    def arrays(self) -> dict[str, np.ndarray]:
        """Name the arrays for a file: ``gram/{layer:02d}``, ``gram/normed``, ``gram/tokens``."""
        names = [f"gram/{layer:02d}" for layer in range(len(self.states) - 1)]
        named = dict(zip([*names, NORMED], self.states, strict=True))
        return {**named, TOKENS: self.tokens}

    def _places(self, rows: np.ndarray) -> np.ndarray:
        squares = self.tokens**2
        starts = np.cumsum(squares) - squares
        return starts[rows][:, None] + np.arange(int(squares[rows[0]]))


def empty_grams(tokens: Sequence[int], n_states: int) -> Grams:
    counted = np.array(tokens, dtype=np.int64)
    total = int((counted**2).sum())
    return Grams(counted, [np.empty(total) for _ in range(n_states)])


def read_grams(path: str | Path) -> Grams:
    """Read the inner products from a file of features of sentences.

    Raises
    ------
    InputError : the file holds none.
    """
    with storage.open_arrays(path) as arrays:
        names = sorted(name for name in arrays.keys() if name.startswith("gram/"))  # noqa: SIM118
        if TOKENS not in names:
            raise InputError(
                f"{path}: no inner products of tokens ({TOKENS}); extract the features again"
            )
        layers = [name for name in names if name not in (TOKENS, NORMED)]
        states = [arrays.get_tensor(name) for name in (*layers, NORMED)]
        return Grams(arrays.get_tensor(TOKENS), states)


def token_gram(states: "torch.Tensor") -> "torch.Tensor":
    """Return the inner products of the tokens of each sentence, in float64.

    Parameters
    ----------
    states : (sentences x tokens x width), of any floating dtype.

    Returns
    -------
    (sentences x tokens x tokens).
    """
    import torch

    parts = states.split(max(1, PART // states[0].numel()))
    return torch.cat([part @ part.mT for part in map(torch.Tensor.double, parts)])
