"""Files of a public archive come whole, by the archive's checksums or not at all."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from lmcortex import archive
from lmcortex.archive import Archive, fetch, read_key
from lmcortex.errors import InputError

FUNC = "derivatives/sub-EN057/func"
RUN = f"{FUNC}/sub-EN057_task-lppEN_run-{{}}_space-MNIColin27_desc-preproc_bold.nii.gz"
WORDS = "annotation/EN/lppEN_word_information.csv"
README = "README"


@dataclass
class Mirror:
    """A dataset as OpenNeuro and its mirror serve it; `drops` downloads of a file break off."""

    files: dict[str, bytes]
    plain: set[str]
    drops: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def of(self, version: str = "2.0.5") -> Archive:
        return Archive("ds003643", version, f"{self.address}/history", f"{self.address}/store")

    def answer(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        if query:
            return self.listing(query["prefix"][0])
        kind, accession, *rest = path.strip("/").split("/")
        version, name = (rest[0], "/".join(rest[1:])) if kind == "history" else ("", "/".join(rest))
        if accession != "ds003643" or name not in self.files or version not in ("", "2.0.5"):
            return None
        content = self.files[name]
        if kind == "store" or name in self.plain:
            return content
        key = f"MD5E-s{len(content)}--{hashlib.md5(content).hexdigest()}.nii.gz"
        return f"../../../.git/annex/objects/mF/fZ/{key}/{key}".encode()

    def listing(self, prefix: str) -> bytes:
        keys = [f"ds003643/{name}" for name in self.files]
        found = "".join(
            f"<Contents><Key>{key}</Key></Contents>" for key in keys if key.startswith(prefix)
        )
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return f'<ListBucketResult xmlns="{space}">{found}</ListBucketResult>'.encode()


def handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            name = unquote(address.path)
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            mirror.asked.append(f"{name}+{start}" if start else name)
            content = mirror.answer(name, parse_qs(address.query))
            if content is None:
                self.send_error(404)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            half = mirror.drops[name] > 0
            mirror.drops[name] -= half
            self.wfile.write(content[start : len(content) // 2 if half else None])

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(archive.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    runs = {RUN.format(run): f"run {run} ".encode() * 1000 for run in (16, 15, 17)}
    served = Mirror({**runs, WORDS: b"word,onset\n" * 500, README: b"A corpus"}, {README})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(served))
    served.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield served
    server.shutdown()


def test_runs_are_the_matches_of_a_pattern_in_the_order_of_their_names(mirror, tmp_path):
    found = fetch(mirror.of(), str(tmp_path), [str(tmp_path / RUN.format("*"))], 3)
    assert [path.read_bytes()[:6] for path in found] == [b"run 15", b"run 16", b"run 17"]
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        RUN.format(run) for run in (15, 16, 17)
    ]


def test_what_is_on_disk_is_used_as_it_is(mirror, tmp_path):
    (tmp_path / WORDS).parent.mkdir(parents=True)
    (tmp_path / WORDS).write_text("mine")
    assert fetch(mirror.of(), str(tmp_path), [str(tmp_path / WORDS)], 1) == [tmp_path / WORDS]
    assert (tmp_path / WORDS).read_text() == "mine" and mirror.asked == []


def test_a_download_that_broke_off_goes_on_where_it_was(mirror, tmp_path):
    mirror.drops[f"/store/ds003643/{WORDS}"] = 2
    (found,) = fetch(mirror.of(), str(tmp_path), [str(tmp_path / WORDS)], 1)
    assert found.read_bytes() == mirror.files[WORDS]
    assert f"/store/ds003643/{WORDS}+{len(mirror.files[WORDS]) // 2}" in mirror.asked


def test_a_file_that_is_not_what_its_key_says_is_not_kept(mirror, tmp_path):
    right = mirror.files[WORDS]
    mirror.answer = lambda path, query: (  # the store moved on, the version did not
        right[::-1] if path.startswith("/store") else Mirror.answer(mirror, path, query)
    )
    with pytest.raises(InputError, match=f"expected {len(right)} bytes with MD5"):
        fetch(mirror.of(), str(tmp_path), [str(tmp_path / WORDS)], 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_without_a_key_is_held_to_what_was_noted_when_it_first_came(mirror, tmp_path):
    wanted = [str(tmp_path / README)]
    fetch(mirror.of(), str(tmp_path), wanted, 1)
    noted = (tmp_path / "README.sha256").read_text()
    assert noted == f"{hashlib.sha256(b'A corpus').hexdigest()}  README\n"
    (tmp_path / README).unlink()
    mirror.files[README] = b"Another corpus"
    with pytest.raises(InputError, match=r"which README\.sha256 noted"):
        fetch(mirror.of(), str(tmp_path), wanted, 1)
    assert not (tmp_path / README).exists()


def test_a_version_that_is_not_there_is_refused(mirror, tmp_path):
    with pytest.raises(InputError, match=r"2\.0\.9/.*the archive answers 404"):
        fetch(mirror.of("2.0.9"), str(tmp_path), [str(tmp_path / WORDS)], 1)


def test_another_number_of_files_is_refused(mirror, tmp_path):
    with pytest.raises(InputError, match="expected 9 files, and ds003643 has 3"):
        fetch(mirror.of(), str(tmp_path), [str(tmp_path / RUN.format("*"))], 9)


@pytest.mark.parametrize(
    ("content", "kind", "size"),
    [
        ("../.git/annex/objects/mF/fZ/MD5E-s38--9d{}.png/MD5E-s38--9d{}.png", "MD5", 38),
        ("/annex/objects/SHA256E-s12--ab{}.nii.gz\n", "SHA256", 12),
    ],
)
def test_a_key_is_read_from_a_link_and_from_a_pointer(content, kind, size):
    key = read_key(content.format("0f", "0f").encode())
    assert key is not None and (key.kind, key.size, key.digest[2:]) == (kind, size, "0f")


def test_a_text_is_no_key():
    assert read_key(Path(__file__).read_bytes()[:3000]) is None
