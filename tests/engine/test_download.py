"""Files come whole or not at all, and what has come once does not come twice."""

import contextlib
import hashlib
import pathlib
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from baton.engine.download import ATTEMPTS_MAX, DownloadError, Source, fetch
from tests.fakes import file_server

CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Heard:
    """Remembers the progress that was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    def __call__(self, name: str, done: int, total: int) -> None:
        self.steps.append((name, done, total))


def get(server: file_server.FileServer, target: pathlib.Path, sha256: str = DIGEST) -> Heard:
    heard = Heard()
    fetch(Source(f"{server.url}/model", sha256), target, heard, pause_s=0.0)
    return heard


def test_whole_file_arrives_with_progress(tmp_path: pathlib.Path) -> None:
    """The target holds what is served, and progress ends at the announced size."""
    with file_server.serving({"/model": CONTENT}) as server:
        heard = get(server, tmp_path / "deep" / "model")
    assert CONTENT == (tmp_path / "deep" / "model").read_bytes()
    assert ("model", len(CONTENT), len(CONTENT)) == heard.steps[-1]
    assert ["model"] == [path.name for path in (tmp_path / "deep").iterdir()]


def test_cut_connections_are_resumed(tmp_path: pathlib.Path) -> None:
    """After each cut only the rest is asked for."""
    with file_server.serving({"/model": CONTENT}) as server:
        server.faults = [1000, 0, 2000]
        get(server, tmp_path / "model")
        asked = [span for _, span in server.asked]
    assert [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"] == asked
    assert CONTENT == (tmp_path / "model").read_bytes()


def test_next_run_goes_on_where_the_last_stopped(tmp_path: pathlib.Path) -> None:
    """A partial file of an earlier run is continued; a complete one needs no request at all."""
    (tmp_path / "model.partial").write_bytes(CONTENT[:5000])
    with file_server.serving({"/model": CONTENT}) as server:
        get(server, tmp_path / "model")
        assert [("/model", "bytes=5000-")] == server.asked
        (tmp_path / "model").rename(tmp_path / "model.partial")
        get(server, tmp_path / "model")
        assert [("/model", "bytes=5000-")] == server.asked


@pytest.mark.parametrize("held", [b"x" * 5000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 9)])
def test_partial_of_another_file_is_dropped(tmp_path: pathlib.Path, held: bytes) -> None:
    """Bytes that do not belong to this file cost one more download, not a wrong file."""
    (tmp_path / "model.partial").write_bytes(held)
    with file_server.serving({"/model": CONTENT}) as server:
        get(server, tmp_path / "model")
    assert CONTENT == (tmp_path / "model").read_bytes()


def test_server_without_ranges_still_delivers(tmp_path: pathlib.Path) -> None:
    """Where Range is ignored the file is written from its start, not appended to itself."""
    with file_server.serving({"/model": CONTENT}) as server:
        server.ranges, server.faults = False, [7000]
        get(server, tmp_path / "model")
    assert CONTENT == (tmp_path / "model").read_bytes()


def test_wrong_content_never_takes_the_name(tmp_path: pathlib.Path) -> None:
    """A file with another SHA-256 is refused and leaves nothing behind."""
    with (
        file_server.serving({"/model": b"else"}) as server,
        pytest.raises(DownloadError, match="has the SHA-256"),
    ):
        get(server, tmp_path / "model")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [len(CONTENT) - 1, 2**60])
def test_a_size_that_is_known_is_held_to(tmp_path: pathlib.Path, size: int) -> None:
    """A file of another size is not taken."""
    (tmp_path / "model.partial").write_bytes(CONTENT[:500])
    with file_server.serving({"/model": CONTENT}) as server:
        source = Source(f"{server.url}/model", DIGEST, size)
        with pytest.raises(DownloadError, match=f"has {len(CONTENT)} bytes instead of {size}"):
            fetch(source, tmp_path / "model", Heard(), pause_s=0.0)
        assert ["bytes=500-"] == [span for _, span in server.asked]


def test_what_does_not_fit_is_not_begun(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server announces is compared with what the disk has free."""
    with file_server.serving({}) as server:

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", str(2**60))
            request.end_headers()

        monkeypatch.setattr(server, "answer", answer)
        with pytest.raises(DownloadError, match=f"model needs {2**40} MiB more, and the disk of"):
            get(server, tmp_path / "model")
    assert [] == list(tmp_path.iterdir())


def test_more_than_was_announced_is_not_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a server that tells no length and goes on: no disk is filled."""
    with file_server.serving({}) as server:

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    request.wfile.write(CONTENT)

        monkeypatch.setattr(server, "answer", answer)
        source = Source(f"{server.url}/model", DIGEST, 5000)
        with pytest.raises(DownloadError, match="has more than 5000 bytes"):
            fetch(source, tmp_path / "model", Heard(), pause_s=0.0)
    assert (tmp_path / "model.partial").stat().st_size <= 5000


def test_a_full_disk_is_told_at_once(tmp_path: pathlib.Path) -> None:
    """It is not asked for again what has no place."""
    (tmp_path / "model.partial").symlink_to("/dev/full")
    with file_server.serving({"/model": CONTENT}) as server:
        with pytest.raises(DownloadError, match="No space left on device: what has come is kept"):
            get(server, tmp_path / "model")
        assert 1 == len(server.asked)


@pytest.mark.parametrize("length", ["\xb2", "9" * 5000, "9" * 4000, "-1"])
def test_a_length_that_is_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, length: str
) -> None:
    """Is as if nobody told one: the digest says whether all is there."""
    with file_server.serving({}) as server:

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", length)
            request.end_headers()
            request.wfile.write(CONTENT)
            request.close_connection = True

        monkeypatch.setattr(server, "answer", answer)
        get(server, tmp_path / "model")
    assert CONTENT == (tmp_path / "model").read_bytes()


def test_a_refusal_is_shown_on_a_terminal(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server says of it has no control characters, and an end."""
    with file_server.serving({}) as server:

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(404, "\x1b[2Jgone" + "!" * 5000)
            request.end_headers()

        monkeypatch.setattr(server, "answer", answer)
        with pytest.raises(DownloadError, match=r"answered 404 .2Jgone!!!") as raised:
            get(server, tmp_path / "model")
    assert (True, True) == (str(raised.value).isprintable(), len(str(raised.value)) < 1000)


def test_credentials_stay_with_the_host(tmp_path: pathlib.Path) -> None:
    """They go with each request to it (where redirects lead: test_opening.py)."""
    with file_server.serving({"/model": CONTENT}) as server:
        server.faults = [1000]
        secrets = {"Authorization": "Bearer x"}
        source = Source(f"{server.url}/model", DIGEST, len(CONTENT), secrets)
        assert DIGEST == fetch(source, tmp_path / "model", Heard(), pause_s=0.0)
        assert ["Bearer x"] * 2 == [headers["Authorization"] for headers in server.headers]


def test_failures_that_heal_are_retried_and_others_are_not(tmp_path: pathlib.Path) -> None:
    """503 is asked again; 403 is told at once and marked as a refusal."""
    with file_server.serving({"/model": CONTENT}) as server:
        server.faults = [-503, -503]
        get(server, tmp_path / "model")
        assert 3 == len(server.asked)
        server.faults = [-403]
        with pytest.raises(DownloadError, match="403") as raised:
            get(server, tmp_path / "other")
        assert (True, 4) == (raised.value.refused, len(server.asked))


@pytest.mark.parametrize("there", ["http://a..b/", "http://127.0.0.1:no/"])
def test_a_redirect_to_nowhere_is_asked_for_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """It leads there again however often it is asked: that is a refusal."""
    with file_server.serving({}) as server:

        def lead(request: BaseHTTPRequestHandler) -> None:
            server.asked.append((request.path, None))
            request.send_response(302)
            request.send_header("Location", there)
            request.send_header("Content-Length", "0")
            request.end_headers()

        monkeypatch.setattr(server, "answer", lead)
        with pytest.raises(DownloadError, match="no such address") as raised:
            get(server, tmp_path / "model")
        assert (True, 1) == (raised.value.refused, len(server.asked))


def test_a_server_that_drips_is_given_up(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little comes, something does each time: that is no progress. It is kept."""
    monkeypatch.setattr("baton.engine.opening.GRACE_S", 0.1)
    never = threading.Event()
    with file_server.serving({}) as server:

        def drip(request: BaseHTTPRequestHandler) -> None:
            server.asked.append((request.path, request.headers.get("Range")))
            request.wfile.write(b"HTTP/1.1 206 Partial Content\r\n\r\n")
            with contextlib.suppress(OSError):
                while not never.wait(0.01):
                    request.wfile.write(b"x")
            request.close_connection = True

        monkeypatch.setattr(server, "answer", drip)
        with pytest.raises(DownloadError, match="less than 1024 bytes a second") as raised:
            get(server, tmp_path / "model")
        assert (False, ATTEMPTS_MAX) == (raised.value.refused, len(server.asked))
    assert (tmp_path / "model.partial").stat().st_size >= ATTEMPTS_MAX


def test_dead_network_gives_up_and_keeps_what_it_has(tmp_path: pathlib.Path) -> None:
    """Without a server it ends with the reason, and the partial file stays for the next time."""
    with file_server.serving({"/model": CONTENT}) as server:
        gone = server.url
    (tmp_path / "model.partial").write_bytes(CONTENT[:5000])
    with pytest.raises(DownloadError, match="refused") as raised:
        fetch(Source(f"{gone}/model", DIGEST), tmp_path / "model", Heard(), pause_s=0.0)
    assert not raised.value.refused
    assert CONTENT[:5000] == (tmp_path / "model.partial").read_bytes()
