"""A hub of models on 127.0.0.1 that speaks the Hugging Face Hub's wire format, and its CDN.

Lists of files with commit, sizes and SHA-256; `resolve`, which leads to another port by 302 with
the hub's headers; the hub's own codes for what is gated, private or not there. Written after the
hub's public API as its clients use it; the hub itself was not reached.
"""

import contextlib
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.fakes import file_server

TOKEN = "hf_aSecretThatNobodyMaySee"
OTHER_TOKEN = "hf_ofAnAccountThatMayNotReadIt"


@dataclass
class Repository:
    files: dict[str, bytes]
    gated: bool = False
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    """Names that mean an older commit, beside `main`."""
    old: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """What there was, by commit."""

    @property
    def commit(self) -> str:
        told = [f"{path} {digest(content)}" for path, content in sorted(self.files.items())]
        return hashlib.sha1("\n".join(told).encode(), usedforsecurity=False).hexdigest()

    def change(self, files: Mapping[str, bytes]) -> None:
        """A new commit; the one before is still there."""
        self.old[self.commit] = dict(self.files)
        self.files = dict(files)

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.branches.get(revision, revision)
        if commit in ("main", "", self.commit):
            return self.commit, self.files
        return (commit, self.old[commit]) if commit in self.old else None


class Asked(NamedTuple):
    method: str
    path: str
    authorization: str | None


class Hub:
    """`repositories` by OWNER/REPO; what is asked stands in `asked`, what its CDN is in `cdn`."""

    def __init__(self, repositories: dict[str, Repository], cdn: file_server.FileServer) -> None:
        self.repositories, self.cdn = repositories, cdn
        self.url = ""
        self.asked: list[Asked] = []
        self.renamed: dict[str, str] = {}
        self.without_digests = False
        """As a mirror that does not know `blobs=true`."""
        self.answers: list[tuple[int, bytes]] = []
        """Given one by one instead of what would be answered."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        authorization = request.headers.get("Authorization")
        self.asked.append(Asked(request.command, request.path, authorization))
        if self.answers:
            status, body = self.answers.pop(0)
            return _send(request, status, {}, body)
        parts = urllib.parse.urlsplit(request.path)
        words = [urllib.parse.unquote(word) for word in parts.path.strip("/").split("/")]
        listed = words[:2] == ["api", "models"]
        owner_and_repo = words[2:4] if listed else words[:2]
        rest = words[4:] if listed else words[2:]
        name = "/".join(owner_and_repo)
        if name in self.renamed:
            there = request.path.replace(name, self.renamed[name])
            return _send(request, 307, {"Location": there}, b"moved")
        token = (authorization or "").removeprefix("Bearer ")
        if token not in ("", TOKEN, OTHER_TOKEN):
            said = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return _send(request, 401, said, b"")
        repository = self.repositories.get(name)
        if repository is None or (repository.private and token != TOKEN):
            return _refuse(request, 404 if token else 401, "RepoNotFound")
        if listed:
            return self._list(request, name, repository, rest)
        self._resolve(request, repository, rest, token)
        return None

    def _list(
        self, request: BaseHTTPRequestHandler, name: str, repository: Repository, rest: list[str]
    ) -> None:
        found = repository.at("/".join(rest[1:]))
        if found is None:
            return _refuse(request, 404, "RevisionNotFound")
        commit, files = found
        body = {
            "_id": "66e0000000000000000000ab",
            "id": name,
            "modelId": name,
            "sha": commit,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "tags": ["gguf"],
            "siblings": [self._sibling(path, content) for path, content in files.items()],
        }
        _send(request, 200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        return None

    def _sibling(self, path: str, content: bytes) -> dict[str, object]:
        if self.without_digests:
            return {"rfilename": path}
        told: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": "ab" * 20}
        if path.endswith(".gguf"):
            lfs = {"sha256": digest(content), "size": len(content), "pointerSize": 133}
            told["lfs"] = lfs
        return told

    def _resolve(
        self, request: BaseHTTPRequestHandler, repository: Repository, rest: list[str], token: str
    ) -> None:
        found = repository.at(rest[1])
        content = found[1].get("/".join(rest[2:])) if found else None
        if repository.gated and token != TOKEN:
            return _refuse(request, 403 if token else 401, "GatedRepo")
        if found is None or content is None:
            return _refuse(request, 404, "EntryNotFound")
        blob = f"/blobs/{digest(content)}"
        self.cdn.files.setdefault(blob, content)
        headers = {
            "Location": f"{self.cdn.url}{blob}",
            "X-Repo-Commit": found[0],
            "X-Linked-Size": str(len(content)),
            "X-Linked-Etag": f'"{digest(content)}"',
        }
        _send(request, 302, headers, b"Found. Redirecting to the CDN")
        return None


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refuse(request: BaseHTTPRequestHandler, status: int, code: str) -> None:
    said = {"X-Error-Code": code, "X-Error-Message": f"said of {code}"}
    _send(request, status, said, json.dumps({"error": code}).encode())


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
    request.close_connection = True


@contextlib.contextmanager
def serving(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """A running hub; its CDN is another server on another port."""
    with file_server.serving({}) as cdn:
        hub = Hub(repositories, cdn)

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the tests look at `asked`."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
            hub.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield hub
            finally:
                server.shutdown()
                thread.join()
