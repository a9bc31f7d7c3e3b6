"""A model's files from a hub that speaks the Hugging Face Hub's HTTP API.

One request lists a repository's files at a revision, with the commit that this is, sizes and
SHA-256; then each file is fetched by that commit, resumably, and checked. The hub leads to where
the bytes lie, which may be another host: HF_TOKEN never goes there (opening.py). What it answers is
read up to a limit and decoded by type; a path that leads out of a folder is as if it were none.

HF_ENDPOINT names another hub or a mirror, HF_TOKEN or the hub's own client's token (hub_token.py)
is sent where there is one, HF_HUB_OFFLINE forbids to ask. Loaded only where something is fetched.
"""

import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from http.client import HTTPException
from typing import Annotated, Literal

import msgspec

from baton.engine import hub_token
from baton.engine.download import DownloadError, Source, fetch, make_room, missing_bytes
from baton.engine.hub_files import HubFile, choose
from baton.engine.models import NotFetched, Progress
from baton.engine.named import Kept, Part, Shelf
from baton.engine.opening import Misled, open_url, said
from baton.misset import ADDRESS
from baton.model_names import HubName

ENDPOINT = "https://huggingface.co"
ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""Of a list of files: some 300 bytes each, for repositories of tens of thousands."""
ANSWER_TIMEOUT_S = 60.0
STALL_TIMEOUT_S = 30.0
ATTEMPTS_MAX = 3
PAUSE_S = 1.0
NO_TOKEN = "HF_TOKEN is not set"
CODE, SAID = "X-Error-Code", "X-Error-Message"
Method = Literal["GET", "HEAD"]


Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**60)]


class _Lfs(msgspec.Struct, frozen=True):
    sha256: str = ""
    size: Bytes = 0


class _Sibling(msgspec.Struct, frozen=True):
    rfilename: str
    size: Bytes | None = None
    lfs: _Lfs | None = None


class _Repository(msgspec.Struct, frozen=True):
    """What is used of the hub's description of a repository."""

    sha: str | None = None
    siblings: list[_Sibling] = []


class Hub(msgspec.Struct, frozen=True):
    endpoint: str
    token: str = ""
    token_place: str = "HF_TOKEN"
    offline: bool = False

    @property
    def secrets(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def of(environment: Mapping[str, str]) -> Hub:
    """The hub that the variables mean. Raises NotFetched; no value is said, each may be secret."""
    endpoint = environment.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT
    if not ADDRESS.fullmatch(endpoint) or "@" in endpoint:
        raise NotFetched("HF_ENDPOINT is no address such as https://hub.example.org")
    token = hub_token.of(environment)
    offline = hub_token.is_true(environment.get("HF_HUB_OFFLINE", ""))
    return Hub(endpoint, token.value, token.place, offline)


def obtain(shelf: Shelf, revision: str, progress: Progress) -> Kept:
    """Fetch the files that a name means at `revision`, a commit, or where that is "" at what its
    own revision is now. Raises NotFetched, OSError."""
    name, hub = shelf.name, of(os.environ)
    assert isinstance(name, HubName)
    if hub.offline:
        raise NotFetched("HF_HUB_OFFLINE forbids to ask the hub")
    wanted = msgspec.structs.replace(name, revision=revision or name.revision)
    commit, files = listing(hub, wanted)
    chosen = choose(files, wanted)
    if name.sha256 and len(chosen) > 1:
        raise NotFetched(f"#sha256= is of one file, and {chosen[0].path} is one of {len(chosen)}")
    parts = tuple(_part(hub, wanted, commit, file) for file in chosen)
    kept = Kept(name=name.text, revision=commit, parts=parts)
    missing = [
        (_source(hub, wanted, commit, file, part), shelf.path(kept, part))
        for file, part in zip(chosen, parts, strict=True)
        if not shelf.has(kept, part)
    ]
    try:
        make_room(shelf.folder, name.text, sum(missing_bytes(p, s.size) for s, p in missing))
        for source, path in missing:
            fetch(source, path, progress, PAUSE_S)
    except DownloadError as error:
        if error.status in (401, 403):  # its list is for everybody, its files are not
            raise NotFetched(_gated(hub, name.repository)) from error
        raise NotFetched(str(error)) from error
    return kept


def listing(hub: Hub, name: HubName) -> tuple[str, list[HubFile]]:
    """(Commit, files) of a repository at the name's revision. Raises NotFetched."""
    at = f"/revision/{urllib.parse.quote(name.revision, safe='')}" if name.revision else ""
    url = f"{hub.endpoint}/api/models/{name.repository}{at}?blobs=true"
    _, body = _asked(hub, name, url, "GET")
    try:
        found = msgspec.json.decode(body, type=_Repository)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotFetched(f"{hub.endpoint} answers otherwise than the hub does: {error}") from None
    if found.sha is None or not re.fullmatch(r"[0-9a-f]{40}", found.sha):
        raise NotFetched(f"{hub.endpoint} does not tell the commit of {name.repository}")
    return found.sha, [_file(sibling) for sibling in found.siblings]


def _file(sibling: _Sibling) -> HubFile:
    large = sibling.lfs or _Lfs()
    return HubFile(sibling.rfilename, large.size or sibling.size or 0, _digest(large.sha256))


def _digest(text: str) -> str:
    """Of a header or a field, where it is a SHA-256; small files have another."""
    bare = text.removeprefix("W/").strip('"').lower()
    return bare if re.fullmatch(r"[0-9a-f]{64}", bare) else ""


def _part(hub: Hub, name: HubName, commit: str, file: HubFile) -> Part:
    """What is to be fetched. A file is taken only where its digest is known beforehand."""
    sha256 = file.sha256
    if not sha256:  # a mirror may leave it out of the list, and send it along with the file
        url = _file_url(hub, name, commit, file.path)
        headers, _ = _asked(hub, name, url, "HEAD")
        sha256 = _digest(headers.get("X-Linked-Etag", ""))
    if name.sha256 and sha256 not in ("", name.sha256):
        raise NotFetched(
            f"{file.path} at {commit} has the SHA-256 {sha256}, not the one behind #sha256="
        )
    if not (sha256 or name.sha256):
        raise NotFetched(
            f"{hub.endpoint} tells no SHA-256 of {file.path}: write it behind the name, as #sha256="
        )
    return Part(file.path.rsplit("/", 1)[-1], file.size, sha256 or name.sha256)


def _source(hub: Hub, name: HubName, commit: str, file: HubFile, part: Part) -> Source:
    url = _file_url(hub, name, commit, file.path)
    return Source(url, part.sha256, part.size, hub.secrets)


def _file_url(hub: Hub, name: HubName, commit: str, path: str) -> str:
    return f"{hub.endpoint}/{name.repository}/resolve/{commit}/{urllib.parse.quote(path)}"


def _asked(hub: Hub, name: HubName, url: str, method: Method) -> tuple[Message, bytes]:
    """(Headers, body), asked again where that may help. Raises NotFetched."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        request = urllib.request.Request(
            url,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            method=method,
        )
        try:
            with open_url(
                request, hub.secrets, STALL_TIMEOUT_S, within=method == "HEAD"
            ) as response:
                return response.headers, _read(response.read1, hub)
        except urllib.error.HTTPError as error:
            error.close()
            if method == "HEAD" and 300 <= error.code < 400:  # leads to the bytes, as it should
                return error.headers, b""
            why = _said(hub, name, error.code, error.headers)
            again = error.code >= 500
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            why = (
                f"{hub.endpoint} cannot be reached ({said(reason)}): look at the network and the"
                " proxy (HTTPS_PROXY), or set HF_ENDPOINT to a mirror that can be"
            )
            again = not isinstance(error, Misled)
        if not again or attempt == ATTEMPTS_MAX:
            break
        time.sleep(PAUSE_S)
    raise NotFetched(why)


def _read(read: Callable[[int], bytes], hub: Hub) -> bytes:
    """An answer whole, within size and time."""
    deadline, body = time.monotonic() + ANSWER_TIMEOUT_S, bytearray()
    while chunk := read(1024 * 1024):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise NotFetched(f"{hub.endpoint} answers more than {ANSWER_BYTES_MAX} bytes")
        if time.monotonic() > deadline:
            raise NotFetched(f"{hub.endpoint} takes longer than {ANSWER_TIMEOUT_S:g} s to answer")
    return bytes(body)


def _said(hub: Hub, name: HubName, status: int, headers: Message) -> str:
    """Why the hub refuses: whose matter it is, and what to do."""
    code, repository = headers.get(CODE, ""), name.repository
    if code == "GatedRepo":
        return _gated(hub, repository)
    if code == "RevisionNotFound":
        return f"{repository} has no revision {name.revision or '(it is empty)'}"
    if status == 401 and hub.token and code != "RepoNotFound":
        return f"{hub.endpoint} does not know {hub.token_place} (401): set a valid one, or none"
    if status in (401, 404):
        token = f"the account of {hub.token_place} may not see it" if hub.token else NO_TOKEN
        return (
            f"{hub.endpoint} shows no {repository} ({status}): check how it is written; where it is"
            f" private, {token}"
        )
    if status == 429:
        token = "" if hub.token else ", or set HF_TOKEN: who is known may ask more often"
        return f"{hub.endpoint} is asked too often from here (429): try again later{token}"
    why, later = said(headers.get(SAID, "")), ": try again later" if status >= 500 else ""
    return f"{hub.endpoint} answered {status}{f' ({why})' if why else ''}{later}"


def _gated(hub: Hub, repository: str) -> str:
    token = f"the account of {hub.token_place} may not read it yet" if hub.token else NO_TOKEN
    return (
        f"{repository} is gated, and {token}: accept its terms at {hub.endpoint}/{repository}, and"
        " set HF_TOKEN to a token of that account that may read gated repositories"
    )
