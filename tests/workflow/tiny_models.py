"""A hub of tiny random models, under the names, revisions and architectures of the registry."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from hashlib import sha1
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from hub import Hub
from safetensors.torch import load, save
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers import models as pieces
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedTokenizerFast,
)

from lmcortex.models.files import TOKENIZER
from lmcortex.registry import Model
from lmcortex.suite import pydoc_passages

VOCABULARY = 400
HEAD = 8  # units of an attention head
GROUPED = {"num_key_value_heads": 1}  # shared by all heads
# Architecture of each family of the registry, and what is its own about it.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "pythia": ("gpt_neox", {}),
    "pythia-deduped": ("gpt_neox", {}),
    "gpt2": ("gpt2", {}),
    "gpt2-chinese": ("gpt2", {}),
    "gpt2-french": ("gpt2", {}),
    "opt": ("opt", {}),
    "llama-1": ("llama", {}),
    "llama-2": ("llama", {}),
    "llama-3": ("llama", GROUPED),
    "qwen1.5": ("qwen2", {}),
    "qwen2": ("qwen2", GROUPED),
    "gemma": ("gemma", {**GROUPED, "head_dim": 2 * HEAD}),
    "stablelm": ("stablelm", {}),
    "mistral": ("mistral", {**GROUPED, "sliding_window": 64}),
    "mamba": ("mamba", {"state_size": 4}),
    "bert": ("bert", {}),
}
# What sets a model apart from the others of its family.
MODELS: dict[str, dict[str, Any]] = {
    "opt-350m": {"do_layer_norm_before": False, "word_embed_proj_dim": HEAD},
    "stablelm-2-12b": {**GROUPED, "qk_layernorm": True, "use_parallel_residual": True},
}
WORD_PIECES = {"bert", "gpt2-chinese"}
START_OF_TEXT = {"opt", "llama-1", "llama-2", "llama-3", "gemma", "mistral"}


def tiny_width(width: int) -> int:
    """Return the width of the stand-in for a model: wider for a wider one."""
    return HEAD * -(-width // 256)


def tiny_config(model: Model) -> Any:
    """Return the configuration of a model's stand-in; only its width and vocabulary are cut."""
    kind, own = FAMILIES[model.family]
    width = tiny_width(model.width)
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": width,
        "num_hidden_layers": model.n_layers,
        "num_attention_heads": width // HEAD,
        "num_key_value_heads": width // HEAD,
        "intermediate_size": 2 * width,
        "max_position_embeddings": model.context,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    if kind == "opt":
        settings |= {"ffn_dim": 2 * width, "word_embed_proj_dim": width}
    return AutoConfig.for_model(kind, **(settings | own | MODELS.get(model.name, {})))


def count_parameters(model: Model) -> int:
    """Return the number of parameters of a model's stand-in, tied ones counted once."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in new_model(model).parameters())


def new_model(model: Model) -> Any:
    """Make a stand-in with the head of its task, as published models have."""
    kind = AutoModelForMaskedLM if model.task == "masked" else AutoModelForCausalLM
    return kind.from_config(tiny_config(model))


@cache
def repository(model: Model, revision: str) -> dict[str, bytes]:
    """Return the files of a revision: weights of its own, and what all revisions share."""
    files = dict(shared_files(model))
    if model.tokenizer:
        files = {name: content for name, content in files.items() if name not in TOKENIZER}
    weights = load(files.pop("model.safetensors"))
    generator = torch.Generator().manual_seed(int(sha1(revision.encode()).hexdigest()[:8], 16))
    for tensor in weights.values():
        tensor += 0.02 * torch.randn(tensor.shape, generator=generator)
    if model.weights == "safetensors":
        return {**files, "model.safetensors": save(weights, {"format": "pt"})}
    binary = BytesIO()
    torch.save(weights, binary)
    return {**files, "pytorch_model.bin": binary.getvalue()}


@cache
def shared_files(model: Model) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(0)
        new_model(model).save_pretrained(folder)
        kind = word_pieces() if model.family in WORD_PIECES else byte_pairs()
        start = model.family in START_OF_TEXT
        wrap(kind, start, model.context).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def wrap(tokenizer: Tokenizer, start: bool, context: int | None) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer as transformers does; `start` puts a special token before each text."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A", special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]"))]
        )
    limit = {"model_max_length": context} if context else {}
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    special["mask_token"] = "[MASK]"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **limit, **special)


SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@cache
def byte_pairs() -> Tokenizer:
    """Train a tokenizer of GPT-2's kind: no special tokens, a space belongs to what follows it."""
    tokenizer = Tokenizer(pieces.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pydoc_passages()[:200], trainer)
    return tokenizer


@cache
def word_pieces() -> Tokenizer:
    """Train a tokenizer of BERT's kind: lower case, a special token at either end."""
    tokenizer = Tokenizer(pieces.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    tokenizer.train_from_iterator(pydoc_passages()[:200], trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return tokenizer


class TinyHub:
    """Many repositories behind one address: a stand-in for each model that the registry lists.

    Attributes
    ----------
    asked : how often each (repository, revision) was looked up.
    endpoint : its address, once `hub.serve` serves it.
    """

    PATH = re.compile(r"(api/models/)?([^/]+/[^/]+)/(?:revision|resolve)/([^/]+)")

    def __init__(self, models: Iterable[Model]) -> None:
        self.models = {model.repo: model for model in models if model.source == "hub"}
        self.tokenizers = {model.tokenizer: model for model in self.models.values()}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.endpoint = ""
        self.lock = Lock()

    def at(self, path: str) -> Hub:
        """Return the repository at the revision that a path asks for; an empty one for no such."""
        match = self.PATH.match(path)
        listing, repo, revision = match.groups() if match else (None, "", "")
        model = self.models.get(repo)
        if repo in self.tokenizers:
            files = shared_files(self.tokenizers[repo])
            return Hub(files, repo, (revision,), commit=sha1(repo.encode()).hexdigest())
        if model is None:
            return Hub({})
        with self.lock:
            self.asked[repo, revision] += listing is not None
            known = revision in {"main", *map(model.revision_of, model.checkpoints("all", repo))}
            files = repository(model, revision) if known else {}
        commit = sha1(f"{repo}@{revision}".encode()).hexdigest()
        return Hub(files, repo, (revision,) if known else (), commit=commit)
