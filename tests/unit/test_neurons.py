"""Artificial neurons, against what the residual stream shows of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_features import LONG, make, saved
from torch.nn.functional import layer_norm
from transformers import AutoConfig

from lmcortex import features, models
from lmcortex.errors import InputError
from lmcortex.features.extract import extract_neurons
from lmcortex.models.load import initialise

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 24, "num_key_value_heads": 2, "vocab_size": 300, "head_dim": 4}
KINDS = ("gpt2", "gpt_neox", "opt", "llama", "mistral", "qwen2", "gemma", "stablelm")
# What attention adds to the residual stream comes out of this layer of a block.
ATTENTION_OUTPUTS = ("attn.c_proj", "attention.dense", "self_attn.out_proj", "self_attn.o_proj")
ATTENTION_OUTPUTS += ("attention.output.dense",)
TOKENS = torch.tensor([[5, 7, 11, 13, 17], [19, 23, 29, 31, 37]])


def without_attention(kind: str) -> Any:
    """Make a model whose attention adds nothing, so that only feed-forward layers do."""
    own = {"ffn_dim": 24, "word_embed_proj_dim": 16} if kind == "opt" else {}
    model = initialise(AutoConfig.for_model(kind, **SIZES, **own), 1, torch.float32).eval()
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[0].endswith(ATTENTION_OUTPUTS):
            parameter.data.zero_()
        elif parameter.ndim == 1 and name.endswith("bias"):
            parameter.data.normal_(std=0.1)  # a bias belongs to what a layer puts out
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_are_what_a_block_adds_when_attention_adds_nothing(kind: str) -> None:
    model = without_attention(kind)
    states = models.residual_states(model, TOKENS)
    neurons = models.neuron_outputs(model, TOKENS)
    assert len(neurons) == 3
    for before, after, added in zip(states, states[1:], neurons, strict=False):
        assert added.std() > 1e-4
        torch.testing.assert_close(after - before, added, rtol=1e-4, atol=1e-5)


def test_neurons_of_bert_stand_before_the_residual_sum_and_the_norm() -> None:
    model = without_attention("bert")
    for name, parameter in model.named_parameters():
        if "LayerNorm.bias" in name:
            parameter.data.zero_()
    states = models.residual_states(model, TOKENS)
    for before, after, added in zip(
        states, states[1:], models.neuron_outputs(model, TOKENS), strict=False
    ):
        inside = layer_norm(before, (16,), eps=model.config.layer_norm_eps)
        outside = layer_norm(inside + added, (16,), eps=model.config.layer_norm_eps)
        torch.testing.assert_close(after, outside, rtol=1e-4, atol=1e-5)


def test_an_architecture_without_feed_forward_layers_is_named() -> None:
    config = AutoConfig.for_model("mamba", vocab_size=300, hidden_size=16, num_hidden_layers=2)
    with pytest.raises(InputError, match="MambaModel: no second feed-forward layer is known"):
        models.neuron_outputs(initialise(config, 1, torch.float32), TOKENS)


@pytest.mark.parametrize("kind", ["gpt_neox", "bert"])
def test_a_word_is_the_mean_of_its_tokens(kind: str) -> None:
    model, tokenizer = make(kind)
    words = LONG.head(12)
    found = features.story_features(
        words, model, tokenizer, read=models.neuron_outputs, first_layer=1
    )
    text = "".join(words["before"] + words["word"])
    encoded = tokenizer(text, return_offsets_mapping=True)
    tokens = torch.tensor([encoded["input_ids"]])
    values = models.neuron_outputs(model, tokens)[2][0].numpy()
    end = 0
    for row, (before, word) in enumerate(zip(words["before"], words["word"], strict=True)):
        start, end = end + len(before), end + len(before) + len(word)
        own = [n for n, (a, b) in enumerate(encoded["offset_mapping"]) if b > start and a < end]
        np.testing.assert_allclose(found["word/03"][row], values[own].mean(0), rtol=1e-4, atol=1e-6)


def test_neurons_are_those_of_layers_from_1_and_as_many_rows_as_words(tmp_path) -> None:
    spec = {"kind": "story", "dtype": "float32", "context": {"tokens": None, "new_tokens": 8}}
    words: pd.DataFrame = LONG.head(12)
    found = extract_neurons(words, saved("gpt_neox", tmp_path), spec, "cpu")
    assert {name: array.shape for name, array in found.arrays.items()} == {
        f"word/{layer:02d}": (12, 16) for layer in (1, 2, 3)
    }
    assert found.metadata == {"rows": "words", "n_layers": "3"}
