"""All features of a dataset's stimulus from one checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmcortex import models
from lmcortex.features.batches import Arrays
from lmcortex.features.sentences import sentence_features
from lmcortex.features.stories import story_features, text_of

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Features:
    """What `extract` found: arrays, metadata of their file, and facts for its provenance."""

    arrays: Arrays
    metadata: dict[str, str]
    facts: dict[str, Any]


def extract(
    items: "pd.DataFrame",
    words: "pd.DataFrame",
    checkpoint: Mapping[str, Any],
    spec: Mapping[str, Any],
    device: str = "auto",
    threads: int = 1,
) -> Features:
    """Extract every layer's states for a dataset's stimulus in one forward pass a text.

    Parameters
    ----------
    items, words : tables as `lmcortex.stimuli` makes them.
    checkpoint : description made by `lmcortex.models.fetch.fetch_checkpoint`.
    spec : ``kind`` ("sentences" or "story"), ``dtype``; sentences: ``poolings``; story:
        ``context`` with ``tokens`` (None: all that the model takes), ``new_tokens`` and, for a mean
        over the characters of words, ``characters``.
    device : "auto", "cpu" or "cuda".
    threads : processor threads.

    Returns
    -------
    Features with float32 arrays ``{pooling}/{layer:02d}`` (rows x width).
    """
    model, tokenizer = load(checkpoint, spec, device, threads)
    if spec["kind"] == "sentences":
        texts = dict(zip(items["item"], items["text"], strict=True))
        passages = list(texts.values())
        arrays = sentence_features(texts, model, tokenizer, poolings=spec["poolings"])
        rows = "items"
    else:
        passages = run_texts(words)
        arrays = story_features(words, model, tokenizer, **windows_of(spec))
        rows = "words"
    return describe(arrays, rows, model, checkpoint, passages, threads)


def extract_neurons(
    words: "pd.DataFrame",
    checkpoint: Mapping[str, Any],
    spec: Mapping[str, Any],
    device: str = "auto",
    threads: int = 1,
) -> Features:
    """Extract what every artificial neuron puts out for the words of a story.

    Parameters
    ----------
    words, checkpoint, device, threads : as for `extract`.
    spec : ``dtype`` and ``context``, as for `extract`.

    Returns
    -------
    Features with float32 arrays ``word/{layer:02d}`` (words x width), of layers 1 to L; see
    `lmcortex.models.neuron_outputs`.
    """
    model, tokenizer = load(checkpoint, spec, device, threads)
    arrays = story_features(
        words, model, tokenizer, read=models.neuron_outputs, first_layer=1, **windows_of(spec)
    )
    return describe(arrays, "words", model, checkpoint, run_texts(words), threads)


def load(
    checkpoint: Mapping[str, Any], spec: Mapping[str, Any], device: str, threads: int
) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    import torch

    torch.set_num_threads(threads)
    model = models.load_model(checkpoint, spec.get("dtype", "float32"), device)
    return model, models.load_tokenizer(checkpoint)


def windows_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `story_features` that say how much is read at once."""
    context = spec["context"]
    return {
        "context_tokens": context["tokens"],
        "new_tokens": context["new_tokens"],
        "characters": context.get("characters", False),
    }


def run_texts(words: "pd.DataFrame") -> list[str]:
    return [text_of(run) for _, run in words.groupby("run", sort=False)]


def describe(
    arrays: Arrays,
    rows: str,
    model: "PreTrainedModel",
    checkpoint: Mapping[str, Any],
    passages: list[str],
    threads: int,
) -> Features:
    """Put arrays together with what is to be known of them."""
    n_rows = len(next(iter(arrays.values())))
    facts = models.forward_facts(model, checkpoint, passages, n_rows, threads)
    n_layers = len(models.blocks(model))
    return Features(arrays, {"rows": rows, "n_layers": str(n_layers)}, facts)
