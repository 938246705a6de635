"""The ledger: which weights in the Hugging Face cache were downloaded here, and how large they are.

Others use the cache too. So the weights of each checkpoint are entered before they are downloaded,
as a small file beside the cache, and what is in no entry is never counted and never removed.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from lmcortex import storage
from lmcortex.errors import InputError

POLL = 10  # seconds between two looks at the ledger
REMINDER = 600  # seconds between two lines that say what is waited for
IDLE = 600  # seconds without a byte after which a download is taken for dead
GB = 1e9


class NoRoom(InputError):
    """Weights did not fit in the budget beside those that are there."""


@dataclass(frozen=True)
class Entry:
    """The weights that a workflow, known by its folder, has downloaded for a checkpoint.

    `sizes` maps each file to its bytes: blobs of the cache, and what was converted from them.
    `links` are the names that blobs have in the cache. A blob may be in several entries: steps 0, 1
    and 2 of a Pythia are the same weights.
    """

    model: str
    checkpoint: str
    workflow: str
    sizes: dict[str, int]
    links: list[str]

    @property
    def name(self) -> str:
        return f"{self.model} {self.checkpoint}"

    @property
    def path(self) -> Path:
        place = sha256(self.workflow.encode()).hexdigest()[:8]
        return folder() / f"{self.model}--{self.checkpoint}--{place}.json"


def folder() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "lmcortex" / "weights"


def entry_of(
    model: str, checkpoint: str, sizes: Mapping[Path, int], links: Iterable[Path] = ()
) -> Entry:
    """Return an entry of the workflow that runs here."""
    named = {str(path): size for path, size in sizes.items()}
    return Entry(model, checkpoint, str(Path.cwd()), named, [str(link) for link in links])


def download(
    model: str, checkpoint: str, repo: str, commit: str, weights: Mapping[str, tuple[str, int]]
) -> Entry:
    """Return the entry of a download, without the files that somebody else has in the cache.

    Parameters
    ----------
    weights : for each file of the repository the name of its blob, and its bytes.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    repository = cache / repo_folder_name(repo_id=repo, repo_type="model")
    with locked():
        ours = sizes_of(entries())
    sizes, links = {}, []
    for name, (digest, size) in weights.items():
        blob, link = repository / "blobs" / digest, repository / "snapshots" / commit / name
        if str(blob) in ours or not (blob.exists() or link.exists()):
            sizes[blob] = size
            links.append(link)
    return entry_of(model, checkpoint, sizes, links)


def entries() -> list[Entry]:
    return [Entry(**storage.read_json(path)) for path in sorted(folder().glob("*.json"))]


def sizes_of(entries: Iterable[Entry]) -> dict[str, int]:
    """Return the bytes of each file in `entries`; one that is in several counts once."""
    return {path: size for entry in entries for path, size in entry.sizes.items()}


@contextmanager
def locked() -> Iterator[None]:
    """Keep other processes out of the ledger until the block ends."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def reserve(wanted: Entry, budget: float, patience: float) -> None:
    """Put an entry into the ledger as soon as its weights fit in the budget.

    Parameters
    ----------
    budget : bytes that all weights in the ledger may take together.
    patience : seconds to wait for others to leave.

    Raises
    ------
    InputError : the weights alone are larger than the budget.
    NoRoom : they did not fit in time.
    """
    start = reminder = time.monotonic()
    while True:
        with locked():
            held = entries()
            whole = with_earlier(wanted, held)
            before, after = sizes_of(held), sizes_of([*held, whole])
            if len(after) == len(before) or sum(after.values()) <= budget:
                remove_unfinished(wanted, held, IDLE)
                storage.write_json(asdict(whole), whole.path)
                return
        needs = sum(whole.sizes.values())
        wants = f"{wanted.name}: {gigabytes(needs)} of weights"
        allowed = f"{gigabytes(budget)} (weights_budget_gb)"
        if needs > budget:
            raise InputError(f"{wants} are more than {allowed}; raise it")
        state = f"{gigabytes(sum(before.values()))} of {allowed} are held by {holders(held)}"
        now = time.monotonic()
        if now - start >= patience:
            raise NoRoom(
                f"{wants} found no room within {patience / 3600:g} h: {state}. They leave when all "
                "of their features are computed: finish those, raise the budget, or delete the "
                f"entry of what is no longer wanted from {folder()}"
            )
        if now >= reminder:
            print(f"{wants} wait for room: {state}", file=sys.stderr, flush=True)
            reminder = now + REMINDER
        time.sleep(POLL)


def with_earlier(wanted: Entry, held: list[Entry]) -> Entry:
    """Add what the workflow entered for the checkpoint before: a revision may have moved on."""
    earlier = [entry for entry in held if entry.path == wanted.path]
    links = [link for entry in [*earlier, wanted] for link in entry.links]
    return Entry(
        wanted.model,
        wanted.checkpoint,
        wanted.workflow,
        sizes_of([*earlier, wanted]),
        sorted(set(links)),
    )


def remove_unfinished(wanted: Entry, held: list[Entry], idle: float = 0) -> None:
    """Remove what killed downloads of a checkpoint left: files not touched for `idle` seconds."""
    own = sizes_of(entry for entry in held if entry.path == wanted.path)
    others = sizes_of(entry for entry in held if entry.path != wanted.path)
    for blob in map(Path, own.keys() - others.keys()):
        for path in blob.parent.glob(f"{blob.name}.*.incomplete"):
            if time.time() - path.stat().st_mtime >= idle:
                path.unlink()


def release(model: str, checkpoint: str) -> dict[str, int]:
    """Remove a checkpoint's weights from the cache and from the ledger.

    Blobs stay that another entry names, or another link in the cache.

    Returns
    -------
    The files that are gone, with their bytes.
    """
    wanted = entry_of(model, checkpoint, {})
    with locked():
        held = entries()
        own = [entry for entry in held if entry.path == wanted.path]
        others = [entry for entry in held if entry.path != wanted.path]
        links = {link for entry in own for link in entry.links}
        links -= {link for entry in others for link in entry.links}
        for link in links:
            Path(link).unlink(missing_ok=True)
        sizes = sizes_of(own)
        kept = sizes_of(others).keys() | linked({Path(path).parents[1] for path in sizes})
        gone = {path: size for path, size in sizes.items() if path not in kept}
        remove_unfinished(wanted, held)
        for path in gone:
            Path(path).unlink(missing_ok=True)
        for entry in own:
            entry.path.unlink()
    return gone


def linked(repositories: Iterable[Path]) -> set[str]:
    """Return the blobs to which the snapshots of `repositories` link."""
    snapshots = [path for folder in repositories for path in (folder / "snapshots").rglob("*")]
    links = [path for path in snapshots if path.is_symlink()]
    return {os.path.abspath(link.parent / link.readlink()) for link in links}


def holders(entries: list[Entry]) -> str:
    """Name the checkpoints that hold room, and the folder of a workflow other than this."""
    here = str(Path.cwd())
    names = [
        entry.name if entry.workflow == here else f"{entry.name} (for {entry.workflow})"
        for entry in entries
    ]
    more = [f"{len(names) - 4} more"] if len(names) > 4 else []
    return ", ".join([*names[:4], *more]) or "nobody"


def gigabytes(size: float) -> str:
    return f"{size / GB:.3g} GB"
