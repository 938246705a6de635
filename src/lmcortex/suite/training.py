"""Train the models of a suite, and save them as Hugging Face folders."""

import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcortex import provenance
from lmcortex.suite.text import read_passages, split_passages
from lmcortex.suite.tokens import encode, fast_tokenizer, train_tokenizer

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch.nn import Module
    from tqdm import tqdm
    from transformers import PreTrainedTokenizerFast

N_PROBES = 128  # sequences on which a checkpoint's losses are measured
Spec = Mapping[str, Any]


def train_suite(spec: Spec, text: str, folder: Path, threads: int) -> dict[str, Any]:
    """Train every model of a suite and save its checkpoints below `folder`.

    Two runs with the same arguments on one machine give the same bytes.

    Parameters
    ----------
    spec : a suite of config/suites.yaml: ``vocabulary``, ``context`` and ``batch`` (tokens,
        sequences), ``held_out`` (share of the text), ``warmup`` (steps), ``seed`` and ``models``.
    text : ``pydoc`` or a folder of .txt files.
    folder : where ``{model}/step{N}`` folders are written.
    threads : processor threads; sums are taken in another order with another number.

    Returns
    -------
    The manifest: models, their checkpoints with losses (nats per token) and file digests.

    Raises
    ------
    InputError : no text, or too little to train and to validate on.
    """
    passages = read_passages(text)
    training, held_out = split_passages(passages, spec["held_out"])

    import torch
    from tqdm import tqdm
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # transformers' own, one for each file that it writes
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    tokenizer = train_tokenizer(training, spec["vocabulary"])
    streams = {
        "train_loss": encode(tokenizer, training, spec["context"], f"{text}: the training part"),
        "validation_loss": encode(tokenizer, held_out, spec["context"], f"{text}: held-out part"),
    }
    n_steps = sum(size["checkpoints"][-1] for size in spec["models"].values())
    with tqdm(total=n_steps, unit="step", file=sys.stderr, mininterval=5) as progress:
        models = {
            name: train_model(spec, size, tokenizer, streams, folder / name, progress)
            for name, size in spec["models"].items()
        }
    return {
        "suite": folder.name,
        "models": models,
        "tokenizer": {
            "vocabulary": tokenizer.get_vocab_size(),
            "sha256": sha256(tokenizer.to_str().encode()).hexdigest(),
        },
        "text": {
            "source": spec["text"],
            "sha256": sha256("\n".join(passages).encode()).hexdigest(),
            "train_tokens": len(streams["train_loss"]),
            "validation_tokens": len(streams["validation_loss"]),
        },
        "provenance": provenance.record("train_suite", spec, threads=threads, device="cpu"),
    }


def n_params(n_layers: int, width: int, vocabulary: int) -> int:
    """Count the parameters of a GPT-NeoX language model, as the registry does for all models.

    The embeddings and the output head are apart (as in Pythia), and both count. A block has
    12 width^2 weights (query, key, value, output: 4; MLP: 8) and 13 width biases and norms; rotary
    positions have no parameter.
    """
    block = 12 * width**2 + 13 * width
    return 2 * vocabulary * width + n_layers * block + 2 * width


def train_model(
    spec: Spec,
    size: Spec,
    tokenizer: "Tokenizer",
    streams: Mapping[str, "torch.Tensor"],
    folder: Path,
    progress: "tqdm[Any]",
) -> dict[str, Any]:
    """Train one model to its last checkpoint and save all of them.

    AdamW with a linear warm-up, then a cosine down to a tenth of the learning rate; gradients
    are clipped to norm 1 (Biderman et al. 2023, Pythia, arXiv:2304.01373).

    Parameters
    ----------
    size : ``n_layers``, ``width``, ``n_heads``, ``learning_rate``, ``checkpoints`` (steps,
        rising; the last one ends the training).
    streams : tokens to train and to validate on, under the names of their losses.

    Returns
    -------
    The model's entry in the manifest.
    """
    import torch

    batches = draw_batches(streams["train_loss"], spec["context"], spec["batch"], spec["seed"])
    model = new_model(spec, size, tokenizer.get_vocab_size())
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    wrapped = fast_tokenizer(tokenizer, spec["context"])
    last = size["checkpoints"][-1]
    tokens_per_step = spec["batch"] * spec["context"]
    checkpoints = {}
    progress.set_description(folder.name)
    for step in range(last + 1):
        if step in size["checkpoints"]:
            losses = {name: measure_loss(model, stream, spec) for name, stream in streams.items()}
            name = f"step{step}"
            checkpoints[name] = {
                "folder": f"{folder.name}/{name}",
                "step": step,
                "tokens_seen": step * tokens_per_step,
                **losses,
                "files": save_checkpoint(model, wrapped, folder / name),
            }
            progress.set_postfix(losses)
        if step < last:
            rate = learning_rate(step, last, spec["warmup"], size["learning_rate"])
            train_step(model, optimizer, next(batches), rate)
            progress.update()
    return {
        "n_params": n_params(size["n_layers"], size["width"], tokenizer.get_vocab_size()),
        "n_layers": size["n_layers"],
        "width": size["width"],
        "context": spec["context"],
        "tokens_per_step": tokens_per_step,
        "final": f"step{last}",
        "checkpoints": checkpoints,
    }


def new_model(spec: Spec, size: Spec, vocabulary: int) -> "Module":
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(spec["seed"])
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=size["width"],
        num_hidden_layers=size["n_layers"],
        num_attention_heads=size["n_heads"],
        intermediate_size=4 * size["width"],
        max_position_embeddings=spec["context"],
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPTNeoXForCausalLM(config)


def draw_batches(
    stream: "torch.Tensor", context: int, batch: int, seed: int
) -> Iterator["torch.Tensor"]:
    """Yield batches (batch x context + 1) from random places, the same ones for every model."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    reach = torch.arange(context + 1)
    while True:
        starts = torch.randint(len(stream) - context, (batch, 1), generator=generator)
        yield stream[starts + reach]


def learning_rate(step: int, last: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, last - warmup)
    return peak * (0.55 + 0.45 * math.cos(math.pi * done))


def train_step(
    model: "Module",
    optimizer: "torch.optim.Optimizer",
    tokens: "torch.Tensor",
    rate: float,
) -> None:
    import torch

    for group in optimizer.param_groups:
        group["lr"] = rate
    model.train()
    next_token_loss(model, tokens).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def next_token_loss(model: "Module", tokens: "torch.Tensor") -> "torch.Tensor":
    """Return the mean cross-entropy (nats) of tokens (sequences x time + 1) after the first."""
    from torch.nn.functional import cross_entropy

    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def measure_loss(model: "Module", stream: "torch.Tensor", spec: Spec) -> float:
    """Return the mean loss (nats per token) on sequences spread evenly over a stream."""
    import torch

    starts = torch.linspace(0, len(stream) - spec["context"] - 1, N_PROBES).long().unique()
    sequences = stream[starts[:, None] + torch.arange(spec["context"] + 1)]
    model.eval()
    with torch.inference_mode():
        batches = sequences.split(spec["batch"])
        total = sum(float(next_token_loss(model, batch)) * len(batch) for batch in batches)
    return round(total / len(sequences), 6)


def save_checkpoint(
    model: Any, tokenizer: "PreTrainedTokenizerFast", folder: Path
) -> dict[str, dict[str, Any]]:
    """Save a Hugging Face folder, whole or not at all; return its files' sizes and digests."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return {
        file.name: {
            "size": file.stat().st_size,
            "sha256": sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(folder.iterdir())
    }
