"""Von Neumann entropy of a sentence's tokens: how many directions their states spread over."""

from typing import TYPE_CHECKING

from lmcortex.geometry.gram import centre, normalise, squares

if TYPE_CHECKING:
    import torch


def entropies(gram: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Measure the von Neumann entropy of tokens by their Gram matrices.

    With the eigenvalues of K / tr(K), those above 0 scaled to sum 1, E = -sum of p log p: 0 when
    all states are parallel, log T when T states are orthogonal and equally long. States that are 0
    (in `centred` and `skean`: those that equal the sentence's mean) are left out.

    Parameters
    ----------
    gram : (sentences x tokens x tokens) float64.

    Returns
    -------
    entropy : (variants x sentences) in nats, ordered as `variants.ENTROPIES`; NaN where no
        state is left (so always for one token in `centred` and `skean`).
    n_tokens : (variants x sentences), the number of states left.
    """
    import torch

    centred = normalise(centre(gram))
    forms = torch.stack([gram, normalise(gram), centred, centred.clamp(min=0)])
    weights = torch.linalg.eigvalsh(forms).clamp(min=0)
    total = weights.sum(-1)
    entropy = torch.special.entr(weights / total[..., None]).sum(-1)
    return entropy.masked_fill(total == 0, torch.nan), (squares(forms) > 0).sum(-1)


def per_log_tokens(entropy: "torch.Tensor", n_tokens: "torch.Tensor") -> "torch.Tensor":
    """Divide an entropy by the largest that so many tokens allow; NaN for fewer than two."""
    import torch

    return (entropy / n_tokens.double().log()).masked_fill(n_tokens < 2, torch.nan)
