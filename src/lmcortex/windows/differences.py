"""How far a swapped word changes the states of the words around it: the difference tensor.

Skrill & Norman-Haignere 2023, Adv. NeurIPS 36:638-654; see `accumulate`.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcortex import models
from lmcortex.errors import InputError
from lmcortex.features.batches import BATCH_TOKENS, progress
from lmcortex.windows.tokens import Special

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HALVES = 2  # of the sequences, by turns: one to fit windows to, one to test the fits on
# Places of keys and values in one forward pass over suffixes: prefixes are as dear as states.
BATCH_PLACES = 16384
# Sequences whose suffixes share batches: so many that suffixes of one length fill a pass.
SEQUENCES_TOGETHER = 16


@dataclass(frozen=True)
class Sequences:
    """Sequences of equally many words, each word as tokens, and as many tokens of its swap."""

    words: list[list[list[int]]]
    swaps: list[list[list[int]]]
    special: Special

    @property
    def n_words(self) -> int:
        return len(self.words[0])

    def tokens(self, row: int) -> list[int]:
        """Return a sequence's tokens, special ones included."""
        inner = [token for word in self.words[row] for token in word]
        return [*self.special.before, *inner, *self.special.behind]

    def starts(self, row: int) -> np.ndarray:
        """Return (words + 1,) the place of each word's first token, and of what follows."""
        lengths = [len(word) for word in self.words[row]]
        return len(self.special.before) + np.concatenate([[0], np.cumsum(lengths)])


def accumulate(
    sequences: Sequences,
    model: "PreTrainedModel",
    *,
    n_lags: int,
    layers: Sequence[int],
    units: np.ndarray,
    causal: bool,
    reuse: bool | None = None,
) -> dict[str, np.ndarray]:
    """Return how far each unit's state moves when a word before it, or after it, is swapped.

    A word's state is the mean over its tokens; a difference is the absolute difference of the
    states of one word with and without another word's swap, mean over the sequences of a half.

    Of a causal model only what follows the swap is read again, up to the last lag, on top of the
    keys and values that the original sequence left. Differences are summed as they come, so that no
    more is held than the sums of `layers` and the states of one forward pass.

    Parameters
    ----------
    sequences : at least two, each within the model's context.
    model : base model in inference mode.
    n_lags : words from the swapped one (lag 0) to the last one that is measured.
    layers : numbers of the layers (0 = embeddings).
    units : (n_units,) numbers of the units.
    causal : whether a word's state hangs on no later word.
    reuse : read just suffixes; by default where the model is causal and keeps keys and values.

    Returns
    -------
    ``past`` and, for models that are not causal, ``future``: (halves x layers x words x n_lags x
    units) float32. In ``past``, ``[..., k, d, :]`` is the difference d words after word k; in
    ``future`` sequences are counted from their ends, so that it is d words before word k from the
    end. What lies outside of a sequence is 0.

    Raises
    ------
    InputError : sequences longer than the context, or states that are not finite.
    """
    import torch

    if reuse is None:
        reuse = causal and keeps_keys(model)
    sides = ("past",) if causal else ("past", "future")
    shape = (HALVES, len(layers), sequences.n_words, n_lags, len(units))
    sums = {side: torch.zeros(shape, device=model.device) for side in sides}
    chosen = torch.as_tensor(units, device=model.device)
    read = suffix_changes if reuse else whole_changes
    with torch.inference_mode(), progress(len(sequences.words), "sequence") as bar:
        for changes in read(sequences, model, n_lags, bar):
            for number, layer in enumerate(layers):
                before, after = (states[..., chosen].float() for states in changes.states(layer))
                for side in sides:
                    found = changes.differences(before, after, side, n_lags)
                    add(sums[side][:, number], found, changes, side)
    counts = torch.tensor([len(sequences.words[half::HALVES]) for half in range(HALVES)])
    means = {side: sums[side].cpu() / counts.reshape(-1, 1, 1, 1, 1) for side in sides}
    if not all(torch.isfinite(values).all() for values in means.values()):
        raise InputError(
            f"windows: states are not finite in {model.dtype}; use dtype float32 or bfloat16, or "
            "check the weights"
        )
    return {side: values.numpy() for side, values in means.items()}


def keeps_keys(model: "PreTrainedModel") -> bool:
    """Tell whether a model takes the keys and values of a prefix; recurrent ones keep no such."""
    return "past_key_values" in inspect.signature(model.forward).parameters


@dataclass(frozen=True)
class Changes:
    """States of some swapped sequences from one forward pass, and of their originals.

    Attributes
    ----------
    rows, swapped : (batch,) number of the sequence, and of its swapped word.
    first : (batch,) word of the first measured state.
    originals, copies : states of each layer, (sequences x words x width) of originals, (batch x
        tokens x width) of copies.
    original : (batch,) which of the originals belongs to a copy.
    pooling : (batch x words x tokens) weights that make words of a copy's tokens.
    """

    rows: np.ndarray
    swapped: np.ndarray
    first: np.ndarray
    originals: "list[torch.Tensor]"
    copies: "list[torch.Tensor]"
    original: np.ndarray
    pooling: "torch.Tensor"

    def states(self, layer: int) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return the states of words, originals and copies: (batch x words x width)."""
        import torch

        copies = self.pooling.to(self.copies[layer].dtype) @ self.copies[layer]
        originals = self.originals[layer]
        words = np.minimum(self.first[:, None] + np.arange(copies.shape[1]), originals.shape[1] - 1)
        return originals[torch.from_numpy(self.original)[:, None], torch.from_numpy(words)], copies

    def differences(
        self, before: "torch.Tensor", after: "torch.Tensor", side: str, n_lags: int
    ) -> "torch.Tensor":
        """Return (batch x n_lags x units), 0 where a word lies outside of the sequence."""
        import torch

        sign = 1 if side == "past" else -1
        words = (self.swapped - self.first)[:, None] + sign * np.arange(n_lags)
        inside = (words >= 0) & (words < after.shape[1])
        inside &= self.first[:, None] + words < self.originals[0].shape[1]
        places = torch.from_numpy(np.where(inside, words, 0)).to(after.device)
        found = (after - before).abs()
        taken = found.gather(1, places[..., None].expand(-1, -1, found.shape[-1]))
        return taken * torch.from_numpy(inside).to(after)[..., None]


def add(sums: "torch.Tensor", found: "torch.Tensor", changes: Changes, side: str) -> None:
    """Add differences (batch x lags x units) to sums (halves x words x lags x units).

    As a product of matrices: its order of summation is fixed on a GPU, too, unlike index_add's.
    """
    import torch

    n_words = sums.shape[1]
    word = changes.swapped if side == "past" else n_words - 1 - changes.swapped
    place = torch.from_numpy((changes.rows % HALVES) * n_words + word).to(found.device)
    chosen = torch.nn.functional.one_hot(place, HALVES * n_words).to(found.dtype)
    total = chosen.T @ found.flatten(1)
    sums += total.reshape(sums.shape)


# --- whole sequences ------------------------------------------------------------------------------


def whole_changes(
    sequences: Sequences, model: "PreTrainedModel", n_lags: int, bar: Any
) -> Iterator[Changes]:
    """Read every swapped sequence whole, each in batches with copies of itself alone."""
    import torch

    for row in range(len(sequences.words)):
        tokens, starts = sequences.tokens(row), sequences.starts(row)
        pooling = word_means(starts[None] - starts[0], len(tokens), starts[0])
        pooling = pooling.to(model.device)
        own = models.residual_states(model, torch.tensor([tokens], device=model.device))
        originals = [pooling.to(states.dtype) @ states for states in own]
        step = max(1, BATCH_TOKENS // len(tokens))
        for begin in range(0, sequences.n_words, step):
            swapped = np.arange(begin, min(begin + step, sequences.n_words))
            copies = torch.tensor([tokens] * len(swapped))
            for copy, word in zip(copies, swapped, strict=True):
                swap = torch.tensor(sequences.swaps[row][word])
                copy[starts[word] : starts[word + 1]] = swap
            yield Changes(
                rows=np.full(len(swapped), row),
                swapped=swapped,
                first=np.zeros(len(swapped), dtype=int),
                originals=originals,
                copies=models.residual_states(model, copies.to(model.device)),
                original=np.zeros(len(swapped), dtype=int),
                pooling=pooling.expand(len(swapped), -1, -1),
            )
        bar.update(1)


def word_means(starts: np.ndarray, n_tokens: int, shift: int = 0) -> "torch.Tensor":
    """Return weights that take the mean over each word's tokens.

    Parameters
    ----------
    starts : (batch x words + 1) the first token of each word, and of what follows the last; a word
        without tokens has weights 0.
    n_tokens : of the states to be weighted.
    shift : tokens before the first word.

    Returns
    -------
    (batch x words x n_tokens).
    """
    import torch

    token = np.arange(n_tokens) - shift
    inside = (token >= starts[:, :-1, None]) & (token < starts[:, 1:, None])
    return torch.from_numpy(inside / np.maximum(inside.sum(axis=2, keepdims=True), 1)).float()


# --- suffixes -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Suffix:
    """What has to be read again of one swapped sequence of a group.

    `place` is the sequence's place in its group, `start` the swap's first token, `tokens` those
    from the swap on, `starts` the first token of each word in them.
    """

    place: int
    word: int
    start: int
    tokens: list[int]
    starts: np.ndarray


def suffix_changes(
    sequences: Sequences, model: "PreTrainedModel", n_lags: int, bar: Any
) -> Iterator[Changes]:
    """Read the originals, then of every swapped sequence only the words that are measured."""
    import torch
    from transformers import DynamicCache

    n = len(sequences.words)
    for begin in range(0, n, SEQUENCES_TOGETHER):
        group = list(range(begin, min(begin + SEQUENCES_TOGETHER, n)))
        tokens = [sequences.tokens(row) for row in group]
        starts = np.stack([sequences.starts(row) for row in group])
        longest = max(map(len, tokens))
        padded = torch.tensor([each + [0] * (longest - len(each)) for each in tokens])
        kept = DynamicCache()
        # Padding stands behind the words, which never see it.
        states = models.residual_states(
            model, padded.to(model.device), past_key_values=kept, use_cache=True
        )
        pooling = word_means(starts, longest).to(model.device)
        originals = [pooling.to(layer.dtype) @ layer for layer in states]
        for suffixes in batches_of(suffixes_of(sequences, group, tokens, starts, n_lags)):
            n_tokens = max(len(suffix.tokens) for suffix in suffixes)
            word_starts = np.stack([suffix.starts for suffix in suffixes])
            place = np.array([suffix.place for suffix in suffixes])
            words = np.array([suffix.word for suffix in suffixes])
            yield Changes(
                rows=np.array(group)[place],
                swapped=words,
                first=words,
                originals=originals,
                copies=read_suffixes(model, kept, suffixes),
                original=place,
                pooling=word_means(word_starts, n_tokens).to(model.device),
            )
        bar.update(len(group))


def suffixes_of(
    sequences: Sequences,
    group: list[int],
    tokens: list[list[int]],
    starts: np.ndarray,
    n_lags: int,
) -> list[Suffix]:
    """Return the suffixes of all swaps of a group, the longest first."""
    found = []
    for place, row in enumerate(group):
        for word in range(sequences.n_words):
            # A word behind the end has no tokens.
            ends = np.minimum(np.arange(word, word + n_lags + 1), sequences.n_words)
            own = starts[place][ends] - starts[place][word]
            after = tokens[place][starts[place][word + 1] : starts[place][ends[-1]]]
            swap = sequences.swaps[row][word]
            found.append(Suffix(place, word, int(starts[place][word]), [*swap, *after], own))
    return sorted(found, key=lambda suffix: (-len(suffix.tokens), suffix.start, suffix.place))


def batches_of(suffixes: list[Suffix]) -> Iterator[list[Suffix]]:
    """Cut a list of suffixes, the longest first, into forward passes."""
    begin = 0
    while begin < len(suffixes):
        n_tokens = len(suffixes[begin].tokens)
        end, prefix = begin, 0
        while end < len(suffixes) and end - begin < max(1, BATCH_TOKENS // n_tokens):
            prefix = max(prefix, suffixes[end].start)
            if end > begin and (end + 1 - begin) * (prefix + n_tokens) > BATCH_PLACES:
                break
            end += 1
        yield suffixes[begin:end]
        begin = end


def read_suffixes(
    model: "PreTrainedModel", kept: Any, suffixes: list[Suffix]
) -> "list[torch.Tensor]":
    """Read suffixes on top of the keys and values of their prefixes, which a mask cuts to length.

    Parameters
    ----------
    kept : keys and values of the originals of the group.

    Returns
    -------
    Residual states of each layer, (suffixes x tokens of the longest x width).
    """
    import torch
    from transformers import DynamicCache

    prefix = max(suffix.start for suffix in suffixes)
    longest = max(len(suffix.tokens) for suffix in suffixes)
    place = torch.tensor([suffix.place for suffix in suffixes], device=model.device)
    start = torch.tensor([suffix.start for suffix in suffixes], device=model.device)[:, None]
    tokens = torch.tensor(
        [suffix.tokens + [0] * (longest - len(suffix.tokens)) for suffix in suffixes]
    )
    cache = DynamicCache()
    for number, layer in enumerate(kept.layers):
        cache.update(layer.keys[place, :, :prefix], layer.values[place, :, :prefix], number)
    seen = torch.arange(prefix + longest, device=model.device)
    mask = (seen < start) | (seen >= prefix)
    return models.residual_states(
        model,
        tokens.to(model.device),
        past_key_values=cache,
        attention_mask=mask.long(),
        position_ids=start + torch.arange(longest, device=model.device),
        use_cache=True,
    )
