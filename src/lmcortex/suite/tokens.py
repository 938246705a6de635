"""The tokenizer of a suite, and text as a stream of its tokens."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lmcortex.errors import InputError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(passages: Iterable[str], vocabulary: int) -> "Tokenizer":
    """Train a byte-level BPE tokenizer with the settings of GPT-NeoX and Pythia.

    Raises
    ------
    InputError : the text is too short to fill the vocabulary (256 bytes, the end of text, merges).
    """
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(passages, trainer)
    if tokenizer.get_vocab_size() != vocabulary:  # the registry counts parameters by it
        raise InputError(
            f"vocabulary: expected {vocabulary} tokens, but the text gives "
            f"{tokenizer.get_vocab_size()}; give more text or a vocabulary it can fill"
        )
    return tokenizer


def fast_tokenizer(tokenizer: "Tokenizer", context: int) -> "PreTrainedTokenizerFast":
    """Wrap a tokenizer as a Hugging Face one, which adds no special token to a text."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=context,
    )


def encode(
    tokenizer: "Tokenizer", passages: list[str], context: int, source: str
) -> "torch.Tensor":
    """Return the tokens of all passages as one stream, each passage after an end-of-text token."""
    import torch

    end = tokenizer.token_to_id(END_OF_TEXT)
    encodings = tokenizer.encode_batch(passages)
    stream = [token for encoding in encodings for token in (end, *encoding.ids)]
    if len(stream) <= context:
        raise InputError(
            f"{source} has {len(stream)} tokens, expected more than one context ({context}); "
            "give more text or change held_out"
        )
    return torch.tensor(stream)
