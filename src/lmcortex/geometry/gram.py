"""What is made of the Gram matrices of sentences: inner products of their tokens."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# A squared length below this share of those it was computed from is a rounding error: the states
# come in float32 at best, which tells lengths apart down to a ten-millionth.
TINY = 1e-12


def squares(gram: "torch.Tensor") -> "torch.Tensor":
    """Return the squared length of each row (... x rows)."""
    return gram.diagonal(dim1=-2, dim2=-1)


def centre(gram: "torch.Tensor") -> "torch.Tensor":
    """Return the Gram matrix of the rows minus their mean; a row that is the mean becomes 0."""
    by_row = gram.mean(dim=-1, keepdim=True)
    centred = gram - by_row - by_row.mT + by_row.mean(dim=-2, keepdim=True)
    return without_rows(centred, squares(centred) <= TINY * squares(gram).sum(-1, keepdim=True))


def steps(gram: "torch.Tensor") -> "torch.Tensor":
    """Return the Gram matrix of the differences of consecutive rows; equal rows give 0."""
    rows = gram[..., 1:, :] - gram[..., :-1, :]
    differences = rows[..., 1:] - rows[..., :-1]
    around = squares(gram)[..., 1:] + squares(gram)[..., :-1]
    return without_rows(differences, squares(differences) <= TINY * around)


def without_rows(gram: "torch.Tensor", which: "torch.Tensor") -> "torch.Tensor":
    """Set some rows (... x rows, bool) to 0."""
    return gram.masked_fill(which[..., :, None] | which[..., None, :], 0.0)


def normalise(gram: "torch.Tensor") -> "torch.Tensor":
    """Return the cosines between rows: the Gram matrix of rows of length 1, 0 where a row is 0."""
    lengths = squares(gram).sqrt()
    scale = (1 / lengths).masked_fill(lengths == 0, 0.0)
    return gram * scale[..., :, None] * scale[..., None, :]
