"""Models that are fetched by a name of the operator's: where they lie in the cache, and what is
remembered of them.

    named/<hash of the name>.json              what the name meant when it was fetched
    hub/OWNER/REPO/<digest>/FILE.gguf          files, in a folder named by their content
    package/NAME-VERSION/<digest>/FILE.gguf    likewise

A start takes what is remembered and asks nobody: it needs no network, and a model does not change
because its repository did. `newest` asks. A file that is not whole any more is fetched again as it
was. An older one stays until somebody deletes it: a running engine may be started on it again. A
file that came whole and is no model is remembered, too: it would be no other one the next time.
"""

import hashlib
import importlib
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from baton.engine import models
from baton.engine.gguf import MAGIC
from baton.engine.models import ModelError, ModelFile, ModelPlace, NotFetched, Progress
from baton.model_names import (
    HubName,
    ModelName,
    is_gguf_path,
    parse,
    split_part,
    split_paths,
)

DIGITS = 16
"""Of a digest in the name of a folder."""
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Commit = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40})?\Z")]
"""A note is judged as it is read: folders have these names."""


class Part(msgspec.Struct, frozen=True):
    """One file of a model; most have one."""

    name: str
    size: int
    sha256: Digest


class Kept(msgspec.Struct, frozen=True):
    """What a name meant when it was fetched."""

    name: str
    revision: Commit
    """The commit of a repository; "" for a package, whose version is in its name."""
    parts: tuple[Part, ...]
    unusable: str = ""
    """Why it is no model, where it is none; its files are deleted then."""

    @property
    def digest(self) -> str:
        """SHA-256 of the model: its file's, or over those of its parts."""
        return joined([part.sha256 for part in self.parts])


class Shelf(msgspec.Struct, frozen=True):
    """What the cache has of one name."""

    name: ModelName
    cache: pathlib.Path

    @property
    def folder(self) -> pathlib.Path:
        name = self.name
        if isinstance(name, HubName):
            return self.cache / "hub" / name.owner / name.repo
        return self.cache / "package" / f"{name.name}-{name.version}"

    def path(self, kept: Kept, part: Part) -> pathlib.Path:
        return self.folder / kept.digest[:DIGITS] / part.name

    def has(self, kept: Kept, part: Part) -> bool:
        path = self.path(kept, part)
        return path.exists() and models.remembered_sha256(path, self.cache) == part.sha256

    def file(self, kept: Kept) -> ModelFile:
        """Of several parts the first: the library finds the others beside it."""
        return ModelFile(self.path(kept, kept.parts[0]), self.name.public_name, kept.digest)

    def remembered(self) -> Kept | None:
        try:
            kept = msgspec.json.decode(self._note.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return None
        sound = kept.name == self.name.text and kept.parts
        named = all("/" not in part.name and is_gguf_path(part.name) for part in kept.parts)
        return kept if sound and named else None

    def remember(self, kept: Kept) -> None:
        self._note.parent.mkdir(parents=True, exist_ok=True)
        partial = self._note.with_suffix(f".{os.getpid()}")
        partial.write_bytes(msgspec.json.encode(kept))
        partial.replace(self._note)

    def is_whole(self, kept: Kept) -> bool:
        """Whether the files are there, as they were fetched and as the name pins them."""
        pinned = self.name.sha256 in ("", kept.digest)
        return pinned and all(self.has(kept, part) for part in kept.parts)

    @property
    def _note(self) -> pathlib.Path:
        name = hashlib.sha256(self.name.text.encode()).hexdigest()[:DIGITS]
        return self.cache / "named" / f"{name}.json"


def shelf(given: str, cache: pathlib.Path) -> Shelf:
    """Of a name as it is set. Raises ModelError."""
    try:
        return Shelf(parse(given), cache)
    except ValueError as error:
        raise ModelError(f"BATON_MODEL {error}") from None


def joined(digests: Sequence[str]) -> str:
    """The digest of a model in so many files."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def split_sha256(path: pathlib.Path, cache: pathlib.Path) -> str:
    """Of the operator's own file, which may be the first of several. Raises ModelError, OSError."""
    part = split_part(path.name)
    if part is not None and part[1] != 1:
        raise ModelError(f"{path} is part {part[1]} of a model: set BATON_MODEL to its first file")
    paths = [path.with_name(name) for name in split_paths(path.name)]
    if missing := [str(each) for each in paths if not each.is_file()]:
        raise ModelError(f"the model {path} is not whole: there is no file {missing[0]}")
    return joined([models.remembered_sha256(each, cache) for each in paths])


def locate(given: str, cache: pathlib.Path) -> ModelPlace:
    """Where the model is, or that nobody knows yet; nothing is fetched. Raises ModelError."""
    found = shelf(given, cache)
    kept = found.remembered()
    text, name = found.name.text, found.name.public_name
    if kept is None:
        return ModelPlace(None, name, text)
    source = f"{text} ({kept.revision})" if kept.revision else text
    if kept.unusable:
        return ModelPlace(None, name, source, kept.unusable)
    return ModelPlace(found.file(kept).path, name, source)


def resolve(given: str, cache: pathlib.Path, progress: Progress, newest: bool) -> ModelFile:
    """The model, fetched if need be. Raises ModelError."""
    found = shelf(given, cache)
    text = found.name.text
    try:
        kept = found.remembered()
        if kept is not None and kept.unusable and not newest:
            raise NotFetched(f"{kept.unusable}; `baton model fetch --newest` asks for it again")
        if kept is not None and not newest and found.is_whole(kept):  # a read-only disk will do
            return found.file(kept)
        found.folder.mkdir(parents=True, exist_ok=True)
        with models.locked(found.folder / "lock"):
            return found.file(_obtained(found, progress, newest))
    except NotFetched as error:
        rest = "Nothing of what was here has changed." if newest else models.OTHERWISE
        raise ModelError(f"BATON_MODEL={text} could not be fetched: {error}. {rest}") from error
    except OSError as error:
        raise ModelError(
            f"BATON_MODEL={text} could not be kept in {cache}: {error}. Set BATON_MODEL_CACHE to a"
            " folder that can be written."
        ) from error


def _obtained(found: Shelf, progress: Progress, newest: bool) -> Kept:
    kept = found.remembered()
    if kept is not None and not newest and found.is_whole(kept):
        return kept  # another process has fetched it meanwhile
    pinned = kept is not None and found.name.sha256 not in ("", kept.digest)
    revision = kept.revision if kept is not None and not (newest or pinned) else ""
    room = "hub" if isinstance(found.name, HubName) else "package"
    obtain = importlib.import_module(f"baton.engine.{room}").obtain
    fresh: Kept = obtain(found, revision, progress)
    for part in fresh.parts:
        path = found.path(fresh, part)
        if part is fresh.parts[0] and (why := _judge(path)) is not None:
            path.unlink()
            if kept is None or kept.unusable:  # else what was here goes on
                found.remember(msgspec.structs.replace(fresh, unusable=why))
            raise NotFetched(why)
        models.remember_sha256(path, found.cache, part.sha256)
    found.remember(fresh)
    return fresh


def _judge(path: pathlib.Path) -> str | None:
    """Why it is no model."""
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
    return None if magic == MAGIC else f"{path.name} is not a GGUF file (it begins with {magic!r})"
