"""Tests of the small language models that are trained here, on a setting of a few seconds."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from lmcortex import suite
from lmcortex.errors import InputError
from lmcortex.suite import text as prose
from lmcortex.suite import tokens, training

SPEC = {
    "text": "pydoc",
    "vocabulary": 400,
    "context": 32,
    "batch": 4,
    "held_out": 0.2,
    "warmup": 3,
    "seed": 0,
    "models": {
        "tiny": {
            "n_layers": 2,
            "width": 16,
            "n_heads": 2,
            "learning_rate": 0.01,
            "checkpoints": [0, 4, 40],
        }
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    import torch

    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("suites") / "small"
    yield suite.train_suite(SPEC, "pydoc", folder, threads=1), folder
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_losses_fall_from_chance_as_training_goes_on(trained):
    import math

    manifest, _ = trained
    checkpoints = [manifest["models"]["tiny"]["checkpoints"][f"step{n}"] for n in (0, 4, 40)]
    for loss in ("train_loss", "validation_loss"):
        first, middle, last = (checkpoint[loss] for checkpoint in checkpoints)
        assert first == pytest.approx(math.log(SPEC["vocabulary"]), abs=0.05)
        assert first > middle > last + 0.5


def test_two_runs_give_the_same_bytes(trained, tmp_path):
    manifest, folder = trained
    again = suite.train_suite(SPEC, "pydoc", tmp_path / "small", threads=1)
    assert again == manifest
    file = "tiny/step40/model.safetensors"
    assert (tmp_path / "small" / file).read_bytes() == (folder / file).read_bytes()


def test_tokenizer_is_the_same_in_every_process():
    command = (
        "from lmcortex import suite; from hashlib import sha256;"
        "tokenizer = suite.train_tokenizer(suite.pydoc_passages(), 2048);"
        "print(sha256(tokenizer.to_str().encode()).hexdigest())"
    )
    digests = {
        subprocess.run([sys.executable, "-c", command], capture_output=True, check=True).stdout
        for _ in range(3)
    }
    assert len(digests) == 1


def test_manifest_tells_the_digest_of_every_file(trained):
    manifest, folder = trained
    for checkpoint in manifest["models"]["tiny"]["checkpoints"].values():
        written = sorted((folder / checkpoint["folder"]).iterdir())
        assert [file.name for file in written] == sorted(checkpoint["files"])
        for file in written:
            content = file.read_bytes()
            expected = {"size": len(content), "sha256": sha256(content).hexdigest()}
            assert checkpoint["files"][file.name] == expected


def test_manifest_is_json_and_names_the_last_checkpoint(trained):
    manifest, _ = trained
    model = json.loads(json.dumps(manifest))["models"]["tiny"]
    assert model["final"] == "step40"
    assert model["checkpoints"]["step40"]["tokens_seen"] == 40 * 4 * 32


def test_nothing_half_written_is_left_behind(trained):
    _, folder = trained
    assert sorted(path.name for path in (folder / "tiny").iterdir()) == ["step0", "step4", "step40"]


def test_checkpoint_loads_offline_as_the_model_that_was_measured(trained):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    manifest, folder = trained
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny" / "step40")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny" / "step40")
    _, held_out = suite.split_passages(suite.pydoc_passages(), SPEC["held_out"])
    stream = [id for text in held_out for id in [0, *tokenizer(text)["input_ids"]]]
    loss = training.measure_loss(model, torch.tensor(stream), SPEC)
    measured = manifest["models"]["tiny"]["checkpoints"]["step40"]["validation_loss"]
    assert loss == pytest.approx(measured, abs=1e-5)


def test_tokenizer_adds_no_special_token_and_gives_offsets(trained):
    from transformers import AutoTokenizer

    _, folder = trained
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny" / "step0")
    text = "The value isn't é changed."
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert not set(encoded["input_ids"]) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(encoded["input_ids"]) == text
    assert encoded["offset_mapping"][0][0] == 0
    assert encoded["offset_mapping"][-1][1] == len(text)


def test_parameters_in_closed_form_equal_those_of_a_loaded_model(trained):
    from transformers import AutoModelForCausalLM

    manifest, folder = trained
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny" / "step0")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert suite.n_params(n_layers=2, width=16, vocabulary=400) == count
    assert manifest["models"]["tiny"]["n_params"] == count


@pytest.mark.parametrize(
    ("n_layers", "width", "published"),
    [(6, 512, 18_915_328), (24, 1024, 302_311_424), (24, 2048, 1_208_602_624)],
)
def test_parameters_in_closed_form_equal_those_published_for_pythia(n_layers, width, published):
    """Non-embedding parameters of Pythia-70m, -410m and -1.4b, as EleutherAI's table has them."""
    assert suite.n_params(n_layers, width, vocabulary=0) == published


def test_learning_rate_warms_up_to_its_peak_and_ends_at_a_tenth():
    rates = [training.learning_rate(step, last=100, warmup=10, peak=2.0) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[100] == pytest.approx(0.2)


def test_every_model_reads_the_same_batches_in_the_same_order():
    import torch

    stream = torch.arange(1000)
    one, other = (training.draw_batches(stream, context=8, batch=2, seed=3) for _ in range(2))
    for _ in range(5):
        tokens = next(one)
        assert torch.equal(tokens, next(other))
        assert torch.equal(tokens.diff(dim=1), torch.ones(2, 8, dtype=tokens.dtype))


def test_pydoc_passages_are_prose_without_markup_or_repeats():
    passages = suite.pydoc_passages()
    assert len(passages) == len(set(passages)) > 800
    text = "\n".join(passages)
    assert not any(mark in text for mark in ("::=", ">>>", "===", '"'))
    assert "Exceptions are identified by class instances." in text


def test_held_out_passages_are_not_among_the_training_ones():
    passages = suite.pydoc_passages()
    training, held_out = suite.split_passages(passages * 2, 0.2)
    assert not set(training) & set(held_out)
    assert set(training) | set(held_out) == set(passages)
    assert 0.15 < len(held_out) / len(passages) / 2 < 0.25


def test_a_passage_keeps_its_side_when_others_are_added():
    passages = [f"passage {number}" for number in range(200)]
    _, few = suite.split_passages(passages[::2], 0.3)
    _, all_of_them = suite.split_passages(passages, 0.3)
    assert set(few) == set(all_of_them) & set(passages[::2])


def test_tokenised_text_is_spaced_naturally_again():
    tokenised = "`` I ca n't , '' said Mr. Bingley 's aunt ( who knew ) ; ` I' m _ so _ tired . '"
    assert prose.detokenize(tokenised) == (
        "\"I can't,\" said Mr. Bingley's aunt (who knew); 'I'm so tired.'"
    )


def test_natural_text_is_left_as_it_is():
    text = "\"Don't go to the dogs' home,\" he said; it's 'closed' (they say). 'Tis true -- well."
    assert prose.detokenize(text) == text


def test_folder_is_cut_into_passages_that_hold_all_its_words(tmp_path):
    lines = [f"Line {number} ends here." for number in range(300)]
    (tmp_path / "b.txt").write_text("\n".join(lines[150:]), "utf-8")
    (tmp_path / "a.txt").write_text("\n\n".join(lines[:150]), "utf-8")
    passages = suite.read_passages(str(tmp_path))
    assert " ".join(passages) == " ".join(lines)
    assert all(len(passage) < prose.PASSAGE_LENGTH + 30 for passage in passages)


def test_missing_or_empty_text_folder_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: .* is no folder"):
        suite.read_passages(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        suite.read_passages(str(tmp_path))


def test_text_that_is_not_utf8_is_refused_by_name(tmp_path):
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt: expected UTF-8"):
        suite.read_passages(str(tmp_path))


def test_text_too_short_for_the_vocabulary_is_refused():
    with pytest.raises(InputError, match="expected 400 tokens"):
        suite.train_tokenizer(["A few words."], 400)


def test_text_shorter_than_one_context_is_refused():
    tokenizer = suite.train_tokenizer(suite.pydoc_passages(), 400)
    with pytest.raises(InputError, match="held-out part has 3 tokens"):
        tokens.encode(tokenizer, ["of"], 32, "x: held-out part")


def test_command_writes_the_manifest_beside_its_checkpoints(tmp_path):
    root = Path(__file__).resolve().parents[2]
    output = tmp_path / "suites" / "small" / "suite.json"
    models = {"tiny": {**SPEC["models"]["tiny"], "checkpoints": [0, 2]}}
    options = ["--text", "pydoc", "--spec", json.dumps({**SPEC, "models": models})]
    command = [sys.executable, str(root / "workflow/scripts/train_suite.py"), *options]
    subprocess.run([*command, "--output", str(output)], check=True, capture_output=True)
    manifest = json.loads(output.read_text("utf-8"))
    assert manifest["suite"] == "small"
    assert manifest["provenance"]["stage"] == "train_suite"
    assert (output.parent / "tiny" / "step2" / "model.safetensors").exists()
