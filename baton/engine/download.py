"""Fetch one large file over HTTP so that a cut connection, or a stopped program, costs little.

Bytes go to `<target>.partial`, which survives failures and restarts; the next attempt asks for the
rest by Range. The whole is checked against its SHA-256 before it takes the target's name, so a
server that changed the file in between, or ignores Range, cannot leave a wrong file behind.
"""

import os
import pathlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse

from baton.engine.digest import file_sha256
from baton.engine.models import Progress

CHUNK_BYTES = 256 * 1024
STALL_TIMEOUT_S = 30.0
ATTEMPTS_MAX = 5
"""Attempts in a row that bring no byte; one that brings some starts the count anew."""
PAUSE_S = 1.0


class DownloadError(Exception):
    """The file could not be had; the message says why, the partial file stays for the next time.

    `refused`: the server or its certificate says no, so asking again in the same way is no use.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def fetch(
    url: str,
    target: pathlib.Path,
    sha256: str,
    progress: Progress,
    headers: Mapping[str, str] | None = None,
    pause_s: float = PAUSE_S,
) -> None:
    """Put what `url` serves at `target`; `sha256` "" accepts any content."""
    partial = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    resumed = _size(partial) > 0
    if not (resumed and sha256 and file_sha256(partial) == sha256):  # stopped just before the end
        _fetch_rest(url, partial, progress, dict(headers or {}), pause_s)
        if sha256 and resumed and file_sha256(partial) != sha256:
            partial.unlink()  # what was here before may have been of another file
            _fetch_rest(url, partial, progress, dict(headers or {}), pause_s)
    if sha256 and (found := file_sha256(partial)) != sha256:
        partial.unlink()
        raise DownloadError(f"{target.name} has the SHA-256 {found} instead of {sha256}")
    partial.replace(target)


def _fetch_rest(
    url: str, partial: pathlib.Path, progress: Progress, headers: dict[str, str], pause_s: float
) -> None:
    fruitless = 0
    while True:
        before = _size(partial)
        try:
            if _attempt(url, partial, progress, headers):
                return
            reason: Exception | str = "the connection ended early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and before > 0:  # we hold more than there is: not this file
                partial.unlink()
            elif error.code < 500 and error.code not in (408, 429):
                message = f"the server answered {error.code} {error.reason}"
                raise DownloadError(message, refused=True) from None
            reason = error
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):
                raise DownloadError(str(error.reason), refused=True) from None
            reason = error
        except (OSError, HTTPException) as error:  # timeouts and resets are OSErrors
            reason = error
        fruitless = 0 if _size(partial) > before else fruitless + 1
        if fruitless == ATTEMPTS_MAX:
            raise DownloadError(str(reason))
        time.sleep(pause_s * fruitless)


def _attempt(url: str, partial: pathlib.Path, progress: Progress, headers: dict[str, str]) -> bool:
    """Ask for what is missing and append it. True when the file is whole."""
    held = _size(partial)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # credentials stay with the first host
    if held:
        request.add_header("Range", f"bytes={held}-")
    with urllib.request.urlopen(request, timeout=STALL_TIMEOUT_S, context=_tls()) as response:
        if response.status != 206:
            held = 0  # the server sends it from the start
        length = response.headers.get("Content-Length")
        total = held + int(length) if length and length.isdigit() else 0
        with partial.open("ab" if held else "wb") as file:
            while chunk := _read(response):
                file.write(chunk)
                held += len(chunk)
                progress(partial.name.removesuffix(".partial"), held, total)
    return held == total or total == 0


def _read(response: HTTPResponse) -> bytes:
    return response.read1(CHUNK_BYTES)  # whatever is there: a slow line still shows progress


def _tls() -> ssl.SSLContext:
    """The system's certificates and, where pip or requests are told of others, those too."""
    context = ssl.create_default_context()
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE"):
        path = os.environ.get(variable, "")
        if path and pathlib.Path(path).is_file():
            context.load_verify_locations(cafile=path)
    return context


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0
