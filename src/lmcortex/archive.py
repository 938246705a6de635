"""Single files of a dataset in OpenNeuro, by plain HTTPS, held to the archive's own checksums.

A dataset's files are in a store and its history in a git repository, mirrored on GitHub. There a
file is either itself, or a link (git-annex) whose last part is its key: ``MD5E-s387201--9dd0….png``
says how many bytes the content has and which MD5. A file without a key comes out of the history
itself; its SHA-256 is noted beside it when it is first fetched, and it is held to that later.
"""

import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen
from xml.etree import ElementTree

from lmcortex import storage
from lmcortex.errors import InputError

HISTORY = "https://raw.githubusercontent.com/OpenNeuroDatasets"
STORE = "https://s3.amazonaws.com/openneuro.org"
ATTEMPTS = 5
SECONDS = 60  # without a byte before a connection counts as lost
CHUNK = 2**20
POINTER = 4096  # bytes; a link to content is shorter
KEY = re.compile(rb"/annex/objects/\S*?(MD5|SHA1|SHA256|SHA512)E?-s(\d+)--([0-9a-f]+)[^/\s]*\s*$")
T = TypeVar("T")


@dataclass(frozen=True)
class Archive:
    """A dataset at a version, and the addresses of its history and of its store."""

    accession: str
    version: str
    history: str = HISTORY
    store: str = STORE


@dataclass(frozen=True)
class Key:
    """What a git-annex key says of a file: the kind of digest, the bytes, and the digest."""

    kind: str
    size: int
    digest: str


def fetch(archive: Archive, folder: str, wanted: Sequence[str], count: int) -> list[Path]:
    """Bring a dataset's files to a folder; those that are there already are used as they are.

    Parameters
    ----------
    archive : where they come from.
    folder : the dataset's root on this machine.
    wanted : paths in it; or one pattern with ``*``, whose matches are taken in the order of their
        names.
    count : how many files there must be.

    Raises
    ------
    InputError : another number of files, a file that the archive does not have, a connection that
        stays down, or a content that is not what the archive says.
    """
    paths = [Path(path) for path in wanted]
    if "*" in wanted[0]:
        found = sorted(paths[0].parent.glob(paths[0].name))
        paths = found if len(found) == count else matches(archive, folder, wanted[0])
    if len(paths) != count:
        raise InputError(
            f"{wanted[0]}: expected {count} files, and {archive.accession} has {len(paths)}: "
            f"{', '.join(path.name for path in paths[:3]) or 'none'}"
        )
    for path in paths:
        if not path.exists():
            fetch_file(archive, path.relative_to(folder).as_posix(), path)
    return paths


def matches(archive: Archive, folder: str, pattern: str) -> list[Path]:
    """List the archive's files that match a pattern, in the order of their names."""
    inside = Path(pattern).relative_to(folder).as_posix()
    prefix = f"{archive.accession}/{inside.partition('*')[0]}"
    query = urlencode({"list-type": 2, "prefix": prefix})
    answer = read(f"{archive.store}?{query}")
    keys = [
        element.text or "" for element in ElementTree.fromstring(answer).iter() if is_key(element)
    ]
    names = [key.partition("/")[2] for key in keys]
    return [Path(folder, name) for name in sorted(names) if fnmatch(name, inside)]


def is_key(element: Any) -> bool:
    """Tell whether an element of a listing names a file, whatever the namespace."""
    return element.tag.rpartition("}")[2] == "Key"


def fetch_file(archive: Archive, name: str, path: Path) -> None:
    """Fetch one file to `path`, through a temporary name that a later run goes on from."""
    history = f"{archive.history}/{archive.accession}/{quote(archive.version)}/{quote(name)}"
    head = read(history, POINTER)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    if key := read_key(head):
        download(f"{archive.store}/{archive.accession}/{quote(name)}", partial)
        check(partial, key, f"{archive.accession} {archive.version}: {name}")
    else:
        partial.unlink(missing_ok=True)
        download(history, partial)
        note_digest(partial, path)
    partial.replace(path)


def read_key(content: bytes) -> Key | None:
    """Return the key at the end of a git-annex link, or None where there is no such link."""
    match = KEY.search(content) if len(content) < POINTER else None
    return Key(match[1].decode(), int(match[2]), match[3].decode()) if match else None


def check(partial: Path, key: Key, what: str) -> None:
    """Hold a file to its key; one that differs is removed."""
    size = partial.stat().st_size
    found = digest_of(partial, key.kind)
    if (size, found) != (key.size, key.digest):
        partial.unlink()
        raise InputError(
            f"{what}: expected {key.size} bytes with {key.kind} {key.digest}, fetched {size} with "
            f"{found}; the archive may hold another version now, see `archive` in the dataset file"
        )


def note_digest(partial: Path, path: Path) -> None:
    """Note the SHA-256 of a file that has no key, or hold it to the one that was noted before."""
    found = digest_of(partial, "SHA256")
    note = path.with_name(f"{path.name}.sha256")
    if not note.exists():
        with storage.replacing(note) as temporary:
            temporary.write_text(f"{found}  {path.name}\n", "utf-8")
    elif (noted := note.read_text("utf-8").split()[0]) != found:
        partial.unlink()
        raise InputError(
            f"{path}: expected SHA-256 {noted}, which {note.name} noted when it was first fetched, "
            f"found {found}; remove the note if the new content is the right one"
        )


def digest_of(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind.lower()).hexdigest()


# --- the line -------------------------------------------------------------------------------------


def read(address: str, most: int | None = None) -> bytes:
    """Return what an address answers, at most so many bytes of it."""

    def once() -> bytes:
        with urlopen(address, timeout=SECONDS) as answer:
            return answer.read(most)

    return online(once, address)


def download(address: str, partial: Path) -> None:
    """Write what an address answers to a file, going on where an earlier try broke off."""

    def once() -> None:
        here = partial.stat().st_size if partial.exists() else 0
        request = Request(address, headers={"Range": f"bytes={here}-"} if here else {})
        try:
            with urlopen(request, timeout=SECONDS) as answer:
                with partial.open("ab" if answer.status == 206 else "wb") as file:
                    shutil.copyfileobj(answer, file, CHUNK)
                    expected = (here if answer.status == 206 else 0) + int(
                        answer.headers["Content-Length"]
                    )
                if partial.stat().st_size < expected:
                    raise HTTPException(f"{partial.stat().st_size} of {expected} bytes came")
        except HTTPError as error:
            if error.code != 416:  # nothing is left to fetch
                raise

    online(once, address)


def online(call: Callable[[], T], address: str) -> T:
    """Call the archive, again when the line drops, and say in one line what went wrong."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except HTTPError as error:
            if error.code < 500:
                raise InputError(f"{address}: the archive answers {error.code}") from error
            reason = f"{error.code} {error.reason}"
        except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(error) or type(error).__name__
        if attempt < ATTEMPTS:
            print(f"{address}: {reason}; trying again", file=sys.stderr)
            time.sleep(2**attempt)
    raise InputError(
        f"{address}: the connection failed {ATTEMPTS} times ({reason}); run again when it is back, "
        "or put the files in place by hand"
    )
