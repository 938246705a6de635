"""What the small models read: passages of English prose, and which of them are held out."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from lmcortex.errors import InputError

PASSAGE_LENGTH = 1000  # characters; some 250 tokens, longer than the models' context


def read_passages(text: str) -> list[str]:
    """Return the passages of ``pydoc`` or of a folder of .txt files."""
    return pydoc_passages() if text == "pydoc" else folder_passages(Path(text))


def pydoc_passages() -> list[str]:
    """Return the paragraphs of English prose in Python's own language reference.

    The reference ships with every Python as ``pydoc_data.topics``. A paragraph is kept when it is
    a sentence or more (eight words, a capital first, a stop last) and at least four fifths of its
    words are plain words, which leaves out code, grammar and tables. Mark-up, the straight quotes
    around names, footnote marks and repeated paragraphs are dropped.
    """
    from pydoc_data.topics import topics

    kept: dict[str, None] = {}
    for _, topic in sorted(topics.items()):
        for block in re.split(r"\n\s*\n", topic):
            paragraph = " ".join(block.split())
            paragraph = re.sub(r"^(\*|\d+\.) ", "", paragraph)
            paragraph = re.sub(r"\*\*?([^*\s](?:[^*]*[^*\s])?)\*\*?", r"\1", paragraph)
            paragraph = re.sub(r" ?\[\d+\]", "", paragraph)
            paragraph = paragraph.translate(str.maketrans("\u2018\u2019", "''", '"\u201c\u201d'))
            if is_prose(paragraph):
                kept[paragraph] = None
    return list(kept)


def is_prose(paragraph: str) -> bool:
    words = paragraph.split()
    plain = [word for word in words if re.fullmatch(r"\(?[A-Za-z][A-Za-z'-]*[,.;:?!)]*", word)]
    shaped = len(words) >= 8 and paragraph[0].isupper() and paragraph[-1] in ".:?)"
    return shaped and len(plain) >= 0.8 * len(words)


def folder_passages(folder: Path) -> list[str]:
    """Return the text of a folder of .txt files (UTF-8), cut at line ends into passages.

    Raises
    ------
    InputError : no such folder, no .txt file in it, or a file that is not UTF-8.
    """
    files = sorted(folder.glob("*.txt"))
    if not files:
        found = "holds no .txt file" if folder.is_dir() else "is no folder"
        raise InputError(f"{folder}: expected a folder of .txt files to train on, but it {found}")
    return [passage for file in files for passage in file_passages(file)]


def file_passages(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected UTF-8 text ({error}); convert the file") from error
    passages: list[str] = []
    passage = ""
    for line in [*lines, None]:
        if line is None or len(passage) >= PASSAGE_LENGTH:
            passages += [detokenize(passage)] if passage else []
            passage = ""
        passage = f"{passage} {line or ''}".strip()
    return passages


def detokenize(text: str) -> str:
    """Undo the spacing of a tokenised corpus, so that words look as they do in natural text.

    NLTK's books have "`` ca n't , '' said Mr. Bingley 's" for what a stimulus spells
    "can't," said Mr. Bingley's; a tokenizer would see other tokens in the two. Text that is
    spaced naturally comes back unchanged.
    """
    for pattern, replacement in (
        (
            r"``\s*|\s*''",
            '"',
        ),  # TeX quotes: the opening one takes the space behind it along
        (r"`\s*", "'"),
        (r"\b_ | _\b|(?<!\w)_(?!\w)", ""),  # _ emphasis _
        (r"(?i)\s+(n't|'(?:s|d|m|ll|re|ve|t)\b)", r"\1"),  # ca n't, sister 's
        (r"(\w)' (s|d|m|ll|re|ve|t)\b", r"\1'\2"),  # I' m
        (r"\s+([,.;:!?)\]]+|'(?=\s|$))", r"\1"),
        (r"([(\[])\s+", r"\1"),
    ):
        text = re.sub(pattern, replacement, text)
    return " ".join(text.split())


def split_passages(passages: Iterable[str], held_out: float) -> tuple[list[str], list[str]]:
    """Split passages into a training and a held-out part.

    A passage's side hangs on its own digest alone: copies of it never land on both sides, and a
    passage added to the text moves no other.

    Parameters
    ----------
    held_out : share of passages to hold out, 0 to 1.
    """
    parts: tuple[list[str], list[str]] = ([], [])
    for passage in passages:
        position = int.from_bytes(sha256(passage.encode()).digest()[:8]) / 2**64
        parts[position < held_out].append(passage)
    return parts
