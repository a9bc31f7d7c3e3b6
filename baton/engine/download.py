"""Fetch one large file over HTTP so that a cut connection, or a stopped program, costs little.

Bytes go to `<target>.partial`, which survives failures and restarts; the next attempt asks for the
rest by Range. The whole is checked against its SHA-256 before it takes the target's name, so a
server that changed the file in between, or ignores Range, cannot leave a wrong file behind. Nor can
one fill the disk: what does not fit, or is more than the file, is not taken.
"""

import errno
import os
import pathlib
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse

import msgspec

from baton.engine.digest import file_sha256
from baton.engine.models import Progress
from baton.engine.opening import Misled, TooSlow, open_url, said

MIB = 1024 * 1024
CHUNK_BYTES = 256 * 1024
STALL_TIMEOUT_S = 30.0
ATTEMPTS_MAX = 5
"""Attempts in a row that bring no byte, or too few a second; one that brings some starts the count
anew."""
PAUSE_S = 1.0
LENGTH = r"[0-9]{1,19}"


class DownloadError(Exception):
    """The file could not be had; the message says why, the partial file stays for the next time.

    `refused`: the server or its certificate says no, so asking again in the same way is no use.
    `status`: what the server answered, where that was the reason; else 0.
    """

    def __init__(self, message: str, *, refused: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.refused, self.status = refused, status


class Source(msgspec.Struct, frozen=True):
    """Where a file is fetched from, and what is known of it."""

    url: str
    sha256: str = ""
    """"" accepts any content."""
    size: int = 0
    """0: not known beforehand."""
    secrets: Mapping[str, str] = {}
    """Headers for that host alone."""


def fetch(
    source: Source, target: pathlib.Path, progress: Progress, pause_s: float = PAUSE_S
) -> str:
    """Put what `source` serves at `target`, whole and on the disk; its SHA-256."""
    partial = target.with_name(target.name + ".partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.size and _size(partial) > source.size:
        partial.unlink()
    held, found = _size(partial), ""
    if held and source.sha256 and held >= source.size:  # stopped just before the end
        found = file_sha256(partial)
    if not found or found != source.sha256:
        found = _fetched(source, partial, progress, pause_s)
        if held and source.sha256 and found != source.sha256:
            partial.unlink()  # what was here before may have been of another file
            found = _fetched(source, partial, progress, pause_s)
    if source.sha256 and found != source.sha256:
        partial.unlink()
        raise DownloadError(f"{target.name} has the SHA-256 {found} instead of {source.sha256}")
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    return found


def _fetched(source: Source, partial: pathlib.Path, progress: Progress, pause_s: float) -> str:
    fruitless = 0
    while True:
        before, slow = _size(partial), False
        try:
            if _attempt(source, partial, progress):
                return file_sha256(partial)
            reason = "the connection ended early"
        except (OSError, HTTPException) as error:  # timeouts and resets are OSErrors
            if isinstance(error, urllib.error.HTTPError) and error.code == 416 and before > 0:
                error.close()  # we hold more than there is: not this file
                partial.unlink()
            elif (refusal := _refusal(error)) is not None:
                raise refusal from None
            reason, slow = said(error), isinstance(error, TooSlow)
        fruitless = 0 if _size(partial) > before and not slow else fruitless + 1
        if fruitless == ATTEMPTS_MAX:
            raise DownloadError(reason)
        time.sleep(pause_s * fruitless)


def _refusal(error: Exception) -> DownloadError | None:
    """What there is no use in asking for again; None where it may come yet."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code >= 500 or error.code in (408, 429):
            return None
        message = f"the server answered {error.code} {said(error.reason)}"
        return DownloadError(message, refused=True, status=error.code)
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLError | Misled):
        return DownloadError(str(cause), refused=True)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(f"{error.strerror}: what has come is kept, make room for the rest")
    return None


def _attempt(source: Source, partial: pathlib.Path, progress: Progress) -> bool:
    """Ask for what is missing and append it. True when the file is whole."""
    held = _size(partial)
    request = urllib.request.Request(source.url, headers={"Accept-Encoding": "identity"})
    if held:
        request.add_header("Range", f"bytes={held}-")
    with open_url(request, source.secrets, STALL_TIMEOUT_S) as response:
        if response.status != 206:
            held = 0  # the server sends it from the start
        length = re.fullmatch(LENGTH, response.headers.get("Content-Length", ""))
        total = held + int(length[0]) if length else source.size
        if source.size and total != source.size:
            raise DownloadError(f"{_name(partial)} has {total} bytes instead of {source.size}")
        make_room(partial.parent, _name(partial), total - held)
        with partial.open("ab" if held else "wb") as file:
            while chunk := _read(response):
                held += len(chunk)
                if source.size and held > source.size:
                    raise DownloadError(f"{_name(partial)} has more than {source.size} bytes")
                file.write(chunk)
                progress(_name(partial), held, total)
    return held == total or total == 0


def _read(response: HTTPResponse) -> bytes:
    return response.read1(CHUNK_BYTES)  # whatever is there: a slow line still shows progress


def missing_bytes(target: pathlib.Path, size: int) -> int:
    """Of a file of so many bytes that may have come in part."""
    return size - _size(target.with_name(target.name + ".partial"))


def make_room(folder: pathlib.Path, name: str, missing: int) -> None:
    """DownloadError where the disk has no room for what is still to come."""
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise DownloadError(
            f"{name} needs {missing / MIB:.0f} MiB more, and the disk of {folder} has"
            f" {free / MIB:.0f} MiB free"
        )


def _name(partial: pathlib.Path) -> str:
    return partial.name.removesuffix(".partial")


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0
