"""Curvature of the path that a sentence's states take from token to token."""

from typing import TYPE_CHECKING

from lmcortex.geometry.gram import centre, normalise, squares, steps

if TYPE_CHECKING:
    import torch


def curvatures(gram: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Measure how much the path turns, by the tokens' Gram matrices.

    Parameters
    ----------
    gram : (sentences x tokens x tokens) float64.

    Returns
    -------
    curvature : (variants x sentences) mean angle in degrees, ordered as `variants.CURVATURES`: in
        `steps` 0 for a straight line, 90 for a random walk, 120 for independent states. NaN
        without an angle: fewer than three tokens in `steps`, two in `tokens`, or too many zeros.
    n_zero : (variants x sentences), steps (or states) of length 0; their angles are left out.
    """
    import torch

    found = [mean_angle(steps(gram)), mean_angle(centre(gram))]
    angles, zeros = zip(*found, strict=True)
    return torch.stack(angles), torch.stack(zeros)


def mean_angle(gram: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the mean angle between consecutive rows that are not 0, and how many rows are 0."""

    zero = squares(gram) == 0
    cosines = normalise(gram).diagonal(offset=1, dim1=-2, dim2=-1)
    defined = ~(zero[..., 1:] | zero[..., :-1])
    angles = cosines.clamp(-1, 1).arccos().rad2deg() * defined
    # 0 / 0 = NaN: no angle.
    return angles.sum(-1) / defined.sum(-1), zero.sum(-1)
