"""Tiny data for a dataset file: noise in the place and the format that the file names."""

import csv
import json
import os
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from pydantic import TypeAdapter

from lmcortex.config import load_texts
from lmcortex.datasets import Dataset, Sentences, Story
from lmcortex.datasets.shared import Sphere
from lmcortex.registry import load_suites
from lmcortex.stimuli import samples_per_run
from lmcortex.suite import pydoc_passages

N_SENTENCES = 60
WORD = 0.5  # seconds from one word of a story to the next
GRID = (20, 24, 20)  # voxels of 8 mm around the brain, none of them on the midline
AFFINE = np.array([[8.0, 0, 0, -76], [0, 8, 0, -108], [0, 0, 8, -72], [0, 0, 0, 1]])


def write_data(folder: Path) -> None:
    """Write every file that a configuration names; its variables are those of the environment."""
    for path in folder.glob("datasets/*.yaml"):
        content = yaml.safe_load(os.path.expandvars(path.read_text("utf-8")))
        dataset = TypeAdapter(Dataset).validate_python(content)
        if isinstance(dataset, Sentences | Story):
            write_dataset(dataset)
    for suite in load_suites(folder).values():
        if suite.text != "pydoc":
            prose = place(f"{os.path.expandvars(suite.text)}/prose.txt")
            prose.write_text("\n".join([*pydoc_passages(), *plain_sentences()]), "utf-8")
    for text in load_texts(folder).values():
        if text.source.endswith(".csv"):
            write_words(os.path.expandvars(text.source))


def plain_sentences() -> list[str]:
    """Return sentences of four words that any tokenizer has."""
    words = cycle(["the", "a", "is", "of", "to", "in", "and", "be"])
    return [" ".join(islice(words, 1 + number % 2, 5 + number % 2)) + "." for number in range(60)]


def write_words(path: str) -> None:
    """Write a text as a table of words with their sentences and made-up parts of speech."""
    sentences = [text.split() for text in [*plain_sentences(), *pydoc_passages()[:100]]]
    rows = [
        {"word": word, "sentence": number, "pos": "AB"[len(word) % 2]}
        for number, sentence in enumerate(sentences)
        for word in sentence
    ]
    write_table(pd.DataFrame(rows), path)


def write_dataset(dataset: Sentences | Story) -> None:
    """Write every file that a dataset names, its paths already without variables."""
    rng = np.random.default_rng(0)
    if isinstance(dataset.targets, str):
        rows = [("left", "IFG", "L"), ("right", "IFG", "R")]
        write_table(pd.DataFrame(rows, columns=["target", "roi", "hemisphere"]), dataset.targets)
    if isinstance(dataset, Sentences):
        write_sentences(dataset, rng)
    else:
        write_story(dataset, rng)


def target_names(dataset: Sentences | Story) -> list[str]:
    if isinstance(dataset.targets, str):
        return ["left", "right"]
    return [target.target for target in dataset.targets]


def write_sentences(dataset: Sentences, rng: np.random.Generator) -> None:
    item, text, subject = (dataset.columns.get(name, name) for name in ("item", "text", "subject"))
    items = [f"item-{number}" for number in range(N_SENTENCES)]
    words = spoken_words()
    texts = [" ".join(islice(words, 6 + number % 5)) for number in range(N_SENTENCES)]
    stimuli = pd.DataFrame({item: items, text: texts})
    write_table(stimuli, dataset.stimuli)
    by_file: dict[str, list[pd.DataFrame]] = {}
    for label in dataset.subjects:
        names = target_names(dataset)
        rows = pd.DataFrame(rng.normal(size=(N_SENTENCES, len(names))), columns=names)
        rows.insert(0, item, items)
        if subject:
            rows.insert(0, subject, label)
        by_file.setdefault(dataset.responses.format(subject=label), []).append(rows)
    for path, parts in by_file.items():
        table = pd.concat(parts)
        write_table(stimuli.merge(table) if path == dataset.stimuli else table, path)


def write_story(dataset: Story, rng: np.random.Generator) -> None:
    samples = samples_per_run({"runs": dataset.runs, "samples": dataset.samples})
    words = spoken_words()
    tables = []
    for number, run in enumerate(dataset.runs):
        onsets = np.arange(dataset.start, dataset.start + samples[run] * dataset.tr, WORD)
        spoken = list(islice(words, len(onsets)))
        table = pd.DataFrame({"onset": onsets, "duration": WORD, "word": spoken, "run": run})
        tables.append(table)
        if dataset.text:
            place(dataset.per_run(dataset.text)[number]).write_text(" ".join(spoken), "utf-8")
    files = dataset.per_run(dataset.words)
    for path, table in zip(files, tables if len(files) > 1 else [pd.concat(tables)], strict=True):
        if path.lower().endswith(".textgrid"):
            write_textgrid(table, dataset.textgrid.tier, path)
        elif path.endswith(".json"):
            write_gentle(table, path)
        else:
            table = table.assign(offset=table["onset"] + table["duration"])
            write_table(table.rename(columns=dict(dataset.columns)), path)
    if dataset.mask:
        write_image(around_rois(dataset), dataset.mask)
    if dataset.parcels:
        labels = pd.read_csv(dataset.parcels.names, sep="\t")["index"].to_numpy()
        write_image(rng.choice(labels, GRID), dataset.parcels.image)
    for path in dataset.ceiling_files().values():
        write_image(rng.uniform(0.1, 0.9, GRID), str(path))
    if dataset.atlas:
        labels = [label for roi in dataset.regions.values() for label in getattr(roi, "labels", [])]
        write_image(np.resize(np.array(labels), GRID), dataset.atlas)
    for subject in dataset.subjects:
        for run in dataset.runs:
            path = dataset.responses.format(subject=subject, run=run).replace("*", run)
            brain = 10 * head() if dataset.coverage else np.zeros(GRID)
            write_series(path, samples[run], target_names(dataset), rng, brain)


def head() -> np.ndarray:
    """Return an ellipsoid of the size of a brain, 1 inside and falling off to 0 at its edge."""
    index = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), axis=-1)
    place = index @ AFFINE[:3, :3] + AFFINE[:3, 3]
    away = np.linalg.norm((place - [0, -18, 8]) / [74, 100, 78], axis=-1)
    return np.clip((1.1 - away) / 0.2, 0, 1)


def around_rois(dataset: Story) -> np.ndarray:
    """Return a mask of the voxels near the spheres to be scored; of all without any."""
    if not dataset.rois:
        return np.ones(GRID)
    index = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), axis=-1)
    place = index @ AFFINE[:3, :3] + AFFINE[:3, 3]
    place[..., 0] = -np.abs(place[..., 0])  # spheres are given on the left, and mirrored
    spheres = [roi for roi in dataset.rois.values() if isinstance(roi, Sphere)]
    away = [np.linalg.norm(place - sphere.center, axis=-1) for sphere in spheres]
    return np.min(away, axis=0) <= 16


def spoken_words() -> Iterator[str]:
    """Yield plain words of prose, over and over."""
    return cycle([word for text in pydoc_passages() for word in text.split() if word.isalpha()])


def write_series(
    path: str, samples: int, targets: list[str], rng: np.random.Generator, brain: np.ndarray
) -> None:
    """Write one run of noise (time x target) in the format that the path's ending says.

    Images have a brighter `brain` in it.
    """
    place(path)
    if path.endswith((".nii", ".nii.gz")):
        write_image(brain[..., None] + rng.normal(size=(*GRID, samples)), path)
        return
    values = rng.normal(size=(samples, len(targets)))
    if path.endswith(".npy"):
        np.save(path, values)
    elif path.endswith(".txt"):
        np.savetxt(path, values)
    else:
        write_table(pd.DataFrame(values, columns=targets), path)


def write_image(values: np.ndarray, path: str) -> None:
    nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), place(path))


def write_table(table: pd.DataFrame, path: str) -> None:
    quoted = {"sep": "\t", "quoting": csv.QUOTE_NONE} if path.endswith(".tsv") else {}
    table.to_csv(place(path), index=False, **quoted)


def write_textgrid(words: pd.DataFrame, tier: str, path: str) -> None:
    """Write words as a Praat TextGrid of one tier, in the short format."""
    start, end = words["onset"].iloc[0], words["onset"].iloc[-1] + words["duration"].iloc[-1]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', f"{start}", f"{end}"]
    lines += ["<exists>", "1", '"IntervalTier"', f'"{tier}"', f"{start}", f"{end}", f"{len(words)}"]
    for onset, duration, word in words[["onset", "duration", "word"]].itertuples(index=False):
        lines += [f"{onset}", f"{onset + duration}", f'"{word}"']
    place(path).write_text("\n".join(lines), "utf-8")


def write_gentle(words: pd.DataFrame, path: str) -> None:
    """Write words as the aligner Gentle does; each tenth was not found."""
    transcript, rows = " ".join(words["word"]), []
    end = -1
    for number, (onset, duration, word) in enumerate(
        words[["onset", "duration", "word"]].itertuples(index=False)
    ):
        start, end = end + 1, end + 1 + len(word)
        row = {"word": word, "startOffset": start, "endOffset": end}
        timed = {"case": "success", "alignedWord": word, "start": onset, "end": onset + duration}
        rows.append(row | (timed if number % 10 else {"case": "not-found-in-audio"}))
    place(path).write_text(json.dumps({"transcript": transcript, "words": rows}), "utf-8")


def place(path: str) -> Path:
    """Return a path in a folder that is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)
