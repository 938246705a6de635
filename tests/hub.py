"""A Hugging Face hub in a few lines: one repository, served on the loopback interface."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A repository, the ways in which its server fails, and what it was asked for.

    ``drops`` counts down the downloads of a file that break off half-way; ``shorter`` names files
    that arrive shorter than announced; ``altered`` those whose bytes differ from their digest.
    """

    files: dict[str, bytes]
    repo: str = "lab/tiny"
    revisions: tuple[str, ...] = ("main", "step512")
    commit: str = COMMIT
    gated: bool = False
    drops: Counter[str] = field(default_factory=Counter)
    shorter: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    endpoint: str = ""

    def at(self, path: str) -> "Hub":
        """Return the repository that a path asks for; here there is one."""
        return self

    def listing(self) -> bytes:
        """Answer /api/models/{repo}/revision/{revision}?blobs=true."""
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": hashlib.sha1(content).hexdigest(),
                "lfs": {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 100,
                },
            }
            for name, content in self.files.items()
        ]
        return json.dumps({"id": self.repo, "sha": self.commit, "siblings": siblings}).encode()


@dataclass
class Steps(Hub):
    """A repository whose revisions differ: `own` holds each one's files over the common ones.

    ``commits`` says what a revision stands for; it moves on when that is changed.
    """

    own: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for revision in list(self.own):
            self.commits[revision] = hashlib.sha1(revision.encode()).hexdigest()
            self.own[self.commits[revision]] = self.own.pop(revision)

    def at(self, path: str) -> Hub:
        parts = [self.commits.get(part, part) for part in path.split("/")]
        commit = next((part for part in parts if part in self.own), None)
        if commit is None:
            return self
        names = (commit, *(name for name in self.commits if self.commits[name] == commit))
        files = self.files | self.own[commit]
        return replace(self, files=files, revisions=names, commit=commit, own={}, commits={})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        hub = self.hub.at(path)
        hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if hub.repo in path:
            hub.tokens.add(self.headers.get("Authorization"))
        listing, download = f"api/models/{hub.repo}/revision/", f"{hub.repo}/resolve/"
        if path.startswith(listing):
            known = path.removeprefix(listing) in hub.revisions
            self.send(hub.listing()) if known else self.refuse(404, "RevisionNotFound")
        elif not path.startswith(download):
            self.refuse(404, "RepoNotFound")
        elif hub.gated:
            self.refuse(403, "GatedRepo")
        else:
            self.send_file(hub, path.removeprefix(download).partition("/")[2], body)

    def refuse(self, status: int, code: str) -> None:
        self.send(b"", status, {"X-Error-Code": code})

    def send_file(self, hub: Hub, name: str, body: bool) -> None:
        content = hub.files[name]
        headers = {
            "X-Repo-Commit": hub.commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
        }
        if name in hub.shorter:
            content = content[:-7]
        if name in hub.altered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        status, start = 200, 0
        if given := self.headers.get("Range"):
            start, status = int(given.removeprefix("bytes=").split("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        breaks = body and hub.drops[name] > 0
        if breaks:
            hub.drops[name] -= 1
        self.send(content[start:], status, headers, body, breaks)

    def send(
        self,
        content: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        body: bool = True,
        breaks: bool = False,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if breaks else content)
        if breaks:
            self.close_connection = True


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve `hub`, its address in ``hub.endpoint``, until the block ends."""
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
