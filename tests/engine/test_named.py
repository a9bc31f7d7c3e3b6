"""Models by name in the cache: fetched once, remembered, whole, and asked for again on purpose."""

import pathlib
import subprocess
import sys
import threading

import msgspec
import pytest

from baton import config
from baton.engine import models
from baton.engine.llama import Library, Model
from tests.engine.hubs import FILES, Q4, Q8, hub, place, resolve, settings, told
from tests.fakes import tiny_gguf
from tests.fakes.fake_hub import digest

NAME = "hf:me/Toy-GGUF:Q8_0"


def noted(file_name: str, sha256: str, revision: str) -> bytes:
    """What could be remembered of it."""
    part = {"name": file_name, "size": 1, "sha256": sha256}
    return msgspec.json.encode({"name": NAME, "revision": revision, "parts": [part]})


def test_a_model_is_fetched_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the repository's name; a later start asks nobody, and knows the commit."""
    before = place(tmp_path, NAME)
    assert (None, "toy", NAME, False) == (before.path, before.public_name, before.source, False)
    with hub(monkeypatch) as served:
        found = resolve(tmp_path, NAME)
        asked = len(served.asked)
        assert asked == 2, "the list of files, and one of them"
        assert found == resolve(tmp_path, NAME)
        assert asked == len(served.asked)
        commit = served.repositories["me/Toy-GGUF"].commit
    assert (Q8, "toy", digest(Q8)) == (found.path.read_bytes(), found.public_name, found.sha256)
    assert found == resolve(tmp_path, NAME), "also without a network"
    after = place(tmp_path, NAME)
    assert (found.path, f"{NAME} ({commit})", True) == (after.path, after.source, after.fetched)
    assert found.path.is_relative_to(tmp_path / "cache" / "hub" / "me" / "Toy-GGUF")


def test_a_model_changes_on_purpose_only(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new commit is taken by `newest`, and from then on; the file before stays where it was, and
    content that did not change is not fetched again."""
    with hub(monkeypatch) as served:
        first = resolve(tmp_path, NAME)
        repository = served.repositories["me/Toy-GGUF"]
        repository.change({**FILES, "README.md": b"changed"})
        asked = len(served.cdn.asked)
        assert first == resolve(tmp_path, NAME, newest=True)
        assert asked == len(served.cdn.asked)
        assert repository.commit in place(tmp_path, NAME).source
        repository.change({**FILES, "sub/Toy-Q8_0.gguf": Q4})
        assert first == resolve(tmp_path, NAME)
        second = resolve(tmp_path, NAME, newest=True)
        assert second == resolve(tmp_path, NAME)
    assert (digest(Q4), Q4) == (second.sha256, second.path.read_bytes())
    assert Q8 == first.path.read_bytes()
    assert "Nothing of what was here has changed" in told(tmp_path, NAME, newest=True)
    assert second == resolve(tmp_path, NAME)


@pytest.mark.parametrize("harm", ["lost", "changed"])
def test_what_is_not_whole_is_fetched_as_it_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """A file that somebody deleted or changed comes from the commit that is remembered."""
    with hub(monkeypatch) as served:
        found = resolve(tmp_path, NAME)
        served.repositories["me/Toy-GGUF"].change({**FILES, "sub/Toy-Q8_0.gguf": Q4})
        found.path.unlink() if harm == "lost" else found.path.write_bytes(b"GGUF no more")
        assert found == resolve(tmp_path, NAME)
    assert Q8 == found.path.read_bytes()


def test_a_digest_pins_the_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file with it serves, also where it was fetched without; another one is not fetched."""
    with hub(monkeypatch) as served:
        found = resolve(tmp_path, f"{NAME}#sha256={digest(Q8)}")
        assert found == resolve(tmp_path, NAME)
        fetched = len(served.cdn.asked)
        said = told(tmp_path, f"{NAME}#sha256={digest(Q4)}")
        assert fetched == len(served.cdn.asked)
    assert f"has the SHA-256 {digest(Q8)}, not the one behind #sha256=" in said


def test_a_pin_that_is_set_later_brings_the_file_that_has_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered is another one: the hub is asked what the name means now."""
    with hub(monkeypatch) as served:
        resolve(tmp_path, NAME)
        served.repositories["me/Toy-GGUF"].change({**FILES, "sub/Toy-Q8_0.gguf": Q4})
        found = resolve(tmp_path, f"{NAME}#sha256={digest(Q4)}")
    assert Q4 == found.path.read_bytes()


def test_a_model_in_parts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, library: Library
) -> None:
    """All parts come, side by side, and the library loads them from the first."""
    paths = tiny_gguf.write_parts(tmp_path / "tiny.gguf")
    assert len(paths) > 1
    files = {path.name: path.read_bytes() for path in paths}
    with hub(monkeypatch, files):
        found = resolve(tmp_path, "hf:me/Toy-GGUF/tiny-00001-of-00003.gguf")
        again = resolve(tmp_path, "hf:me/Toy-GGUF")
        pinned = told(tmp_path, f"hf:me/Toy-GGUF@main#sha256={digest(Q4)}")
    assert ("tiny", "toy") == (found.public_name, again.public_name)
    assert found.path == again.path
    assert set(files) == {path.name for path in found.path.parent.iterdir()}
    assert "#sha256= is of one file" in pinned
    loaded = Model(library, str(found.path))
    assert tiny_gguf.VOCABULARY_SIZE == loaded.vocabulary_size
    loaded.close()
    own = models.resolve(settings(tmp_path, str(paths[0])))
    assert own is not None
    assert found.sha256 == own.sha256, (
        "a model of the operator's own is known by all its parts, too"
    )


def test_own_models_in_parts_are_whole(tmp_path: pathlib.Path) -> None:
    """A part that is missing, and one that is not the first, are told."""
    paths = tiny_gguf.write_parts(tmp_path / "tiny.gguf")
    assert "part 2 of a model: set BATON_MODEL to its first file" in told(tmp_path, str(paths[1]))
    paths[2].unlink()
    assert f"there is no file {paths[2]}" in told(tmp_path, str(paths[0]))


def test_what_is_no_gguf_is_not_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is called: it is told, and is not there afterwards."""
    with hub(monkeypatch, {"page.gguf": b"<html>"}):
        assert r"not a GGUF file (it begins with b'<htm')" in told(tmp_path, "hf:me/Toy-GGUF")
    assert [] == list(tmp_path.rglob("page.gguf*"))
    assert not place(tmp_path, "hf:me/Toy-GGUF").fetched


def test_what_is_no_gguf_is_fetched_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later start asks nobody, and tells the same; on purpose it is asked for again, and taken
    where it is one by then."""
    why = r"page.gguf is not a GGUF file (it begins with b'<htm')"
    with hub(monkeypatch, {"page.gguf": b"<html>"}) as served:
        told(tmp_path, "hf:me/Toy-GGUF")
        asked = len(served.asked)
        text = told(tmp_path, "hf:me/Toy-GGUF")
        assert asked == len(served.asked)
        assert f"{why}; `baton model fetch --newest` asks for it again" in text
        assert why == place(tmp_path, "hf:me/Toy-GGUF").unusable
        assert why in told(tmp_path, "hf:me/Toy-GGUF", newest=True)
        served.repositories["me/Toy-GGUF"].change({"page.gguf": Q8})
        found = resolve(tmp_path, "hf:me/Toy-GGUF", newest=True)
        served.repositories["me/Toy-GGUF"].change({"page.gguf": b"<html>"})
        assert why in told(tmp_path, "hf:me/Toy-GGUF", newest=True)
        assert found == resolve(tmp_path, "hf:me/Toy-GGUF"), "what was here goes on"
    assert "" == place(tmp_path, "hf:me/Toy-GGUF").unusable


def test_a_cache_that_cannot_be_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serves what it has; what it has not is told with the setting to change."""
    with hub(monkeypatch):
        found = resolve(tmp_path, NAME)
        lock = found.path.parents[1] / "lock"
        lock.unlink()
        lock.mkdir()  # opening it to write fails, for root too
        assert found == resolve(tmp_path, NAME)
        assert "Set BATON_MODEL_CACHE" in told(tmp_path, "hf:me/Toy-GGUF")


def test_processes_wait_for_each_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two starts at once one fetches, under both names; each has the file whole."""
    found: list[models.ModelFile] = []
    names = [NAME, "hf:me/Toy-GGUF/sub/Toy-Q8_0.gguf"]
    with hub(monkeypatch) as served:
        threads = [
            threading.Thread(target=lambda name=name: found.append(resolve(tmp_path, name)))
            for name in (*names, *names)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 == len(served.cdn.asked)
    assert [found[0].path] * 4 == [each.path for each in found]
    assert {"toy", "toy-q8_0"} == {each.public_name for each in found}


@pytest.mark.parametrize(
    "note",
    [
        b"{",
        b'{"name": 1}',
        msgspec.json.encode({"name": NAME, "revision": "", "parts": []}),
        msgspec.json.encode({"name": "hf:me/other", "revision": "", "parts": []}),
        noted("../../../x.gguf", "0" * 64, ""),
        noted("x.gguf", "../../../" + "0" * 55, ""),
        noted("x.gguf", "0" * 64 + "\n", ""),
        noted("x.gguf", "0" * 64, "../main"),
    ],
)
def test_a_note_that_says_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, note: bytes
) -> None:
    """Cut, of another form, or leading elsewhere: as if there were none."""
    with hub(monkeypatch):
        found = resolve(tmp_path, NAME)
        (path,) = (tmp_path / "cache" / "named").iterdir()
        path.write_bytes(note)
        assert place(tmp_path, NAME).path is None
        assert found == resolve(tmp_path, NAME)
    assert found.path == place(tmp_path, NAME).path


def test_a_start_loads_nothing_that_fetches(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model is there: neither TLS nor what asks a hub."""
    with hub(monkeypatch):
        resolve(tmp_path, NAME)
    code = (
        "import sys; from baton import config; from baton.engine import models\n"
        f"given = config.Settings(model={NAME!r}, model_cache={str(tmp_path / 'cache')!r})\n"
        "print(models.resolve(given).public_name, 'ssl' in sys.modules)\n"
        "print('baton.engine.hub' in sys.modules, 'baton.engine.package' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert ["toy", "False", "False", "False"] == done.stdout.split()


def test_what_names_nothing_is_told() -> None:
    """Also where a name comes past the settings' own check."""
    from_elsewhere = config.Settings(model="hf:nothing", model_cache="/nowhere")
    with pytest.raises(models.ModelError, match="names no model on a hub"):
        models.resolve(from_elsewhere)
