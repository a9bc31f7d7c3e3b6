"""From settings to a start: the socket, the data folder with its keys, the model, the banner."""

import contextlib
import errno
import io
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import msgspec
import pytest

from baton.child import MODULE
from baton.config import Settings
from baton.engine.models import ModelFile
from baton.listening import bind_all
from baton.serve import _banner, _warn, _with_ports, engine_command, find_model, prepare_home, serve
from baton.stores.base import UpstreamRecord
from baton.stores.book import open_store
from tests import running
from tests.fakes import tiny_gguf
from tests.running import free_port

SEALED = UpstreamRecord(
    name="up", url="http://h/v1", dialect="openai", models={}, created_us=1, secret="sk-x"
)
KEY = "sk-test-serve-key-0000000001"


def test_a_taken_port(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and what to do, before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(home=str(tmp_path / "home"), port=taken.getsockname()[1])
        assert 1 == serve(settings)
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{settings.port}" in said
    assert "BATON_PORT" in said
    assert not (tmp_path / "home").exists()


def test_a_second_place_that_cannot_be_had(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same: exit status 1, its own setting named, before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert 1 == serve(Settings(home=str(tmp_path / "home"), port=0, admin_listen=place))
    said = capsys.readouterr().err
    assert f"cannot listen on {place}: " in said
    assert "BATON_ADMIN_LISTEN" in said
    assert 1 == serve(Settings(home=str(tmp_path / "home"), port=0, admin_url="https://a.test"))
    assert "BATON_ADMIN_URL needs BATON_ADMIN_LISTEN" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_ports_that_were_taken() -> None:
    """Each listener's is told where any would do, its host as it was written."""
    for host in ("127.0.0.1", "localhost"):
        settings = Settings(port=0, admin_listen=f"{host}:0")
        with contextlib.ExitStack() as open_ones:
            listeners = [open_ones.enter_context(each) for each in bind_all(settings)]
            ports = [each.getsockname()[1] for each in listeners]
            taken = _with_ports(settings, listeners)
            assert [taken.port, taken.admin_listen] == [ports[0], f"{host}:{ports[1]}"]
            alone = _with_ports(Settings(port=0), listeners[:1])
            assert [alone.port, alone.admin_listen] == [ports[0], ""]


def test_an_access_log_that_cannot_be_written(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder, or in none: told before anything is made; what can be written, a pipe too, is no
    obstacle."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for path in (tmp_path / "none/x.log", tmp_path):
        settings = Settings(home=str(tmp_path / "home"), port=0, access_log=str(path))
        assert 1 == serve(settings)
        assert f"BATON_ACCESS_LOG: {path} cannot be written" in capsys.readouterr().err
    for name in ("x.log", "pipe", "file"):
        settings = Settings(home=str(tmp_path / "file"), port=0, access_log=str(tmp_path / name))
        assert 1 == serve(settings)
        assert "cannot use the data folder" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_no_process_for_a_worker(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and nothing has begun."""
    monkeypatch.setattr("baton.staged.MODULE", ("/nowhere/python", "-m"))
    assert 1 == serve(Settings(home=str(tmp_path / "home"), port=0))
    assert "no process left for a worker: No such file" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


LIMITED = """import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
sys.argv[1:] = ["serve"]
from baton.__main__ import main
main()
"""


def test_no_process_for_the_first_worker() -> None:
    """The same where it is started before all else: nothing but the message."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=30
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("baton: the machine has no process left")


def test_a_host_that_is_none(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No other program is blamed; what is too much in an address is told."""
    for host in ("127.0.0.1:8080", "[::1]"):
        assert 1 == serve(Settings(home=str(tmp_path), host=host))
        said = capsys.readouterr().err
        assert "BATON_HOST" in said
        assert "without a port or brackets" in said
        assert "program" not in said


def test_first_keys_that_are_none(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The setting is named, before anything is made, and what it holds is not told."""
    home = tmp_path / "home"
    first = Settings(home=str(home), port=0, bootstrap_key="sk-too-short")
    admin = Settings(home=str(home), port=0, admin_key="sk-too-short")
    for name, settings in (("bootstrap_key", first), ("admin_key", admin)):
        assert 1 == serve(settings)
        said = capsys.readouterr().err
        assert f"BATON_{name.upper()} is no key: a key is `sk-` and more" in said
        assert "too-short" not in said
    assert not home.exists()


def test_who_is_warned(capsys: pytest.CaptureFixture[str]) -> None:
    """Who listens on another address than the machine's own without TLS, at each of two places."""
    for host, admin_listen, said in (
        ("127.1", "", []),
        ("0", "", ["0"]),
        ("127.1", "127.0.0.2:0", []),
        ("127.1", "0:0", ["0:0"]),
        ("0", "127.0.0.2:0", ["0"]),
        ("0", "0:0", ["0", "0:0"]),
    ):
        settings = Settings(host=host, port=0, admin_listen=admin_listen)
        with contextlib.ExitStack() as open_ones:
            listeners = [open_ones.enter_context(each) for each in bind_all(settings)]
            _warn(settings, listeners)
            warned = re.findall(r"WARNING: (\S+) is reachable", capsys.readouterr().err)
            assert said == warned
            _warn(msgspec.structs.replace(settings, tls_certificate_file="x"), listeners)
            assert "" == capsys.readouterr().err


def test_a_home_that_cannot_be_used(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in its place, a book that is none, an earlier Baton's journal: exit status 1 and a
    sentence."""
    (tmp_path / "file").write_text("x")
    assert 1 == serve(Settings(home=str(tmp_path / "file"), port=0))
    (tmp_path / "baton.db").write_bytes(b"not a book" * 100)
    assert 1 == serve(Settings(home=str(tmp_path), port=0))
    (tmp_path / "baton.db").unlink()
    open_store(Settings(home=str(tmp_path))).close()
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "0.db").touch()
    assert 1 == serve(Settings(home=str(tmp_path), port=0))
    said = capsys.readouterr().err
    assert 3 == said.count("cannot use the data folder")
    assert "Traceback" not in said


def test_a_database_that_cannot_be_used(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its setting is named, and not the data folder, which is well."""
    url = f"postgresql://u:secret@127.0.0.1:{free_port()}/d"
    assert 1 == serve(Settings(home=str(tmp_path), port=0, database_url=url))
    said = capsys.readouterr().err
    assert "cannot use the database of BATON_DATABASE_URL: " in said
    assert not any(word in said for word in ("data folder", "secret"))


def test_the_first_keys_are_kept_for_the_operator(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made once, in files that nobody else can read; told again until the file is deleted."""
    settings = Settings(home=str(tmp_path / "home"))
    key = prepare_home(settings)
    assert key is not None
    for name in ("first.key", "admin.key"):
        assert 0o600 == (tmp_path / "home" / name).stat().st_mode & 0o777
    assert 0o700 == (tmp_path / "home").stat().st_mode & 0o777
    told = capsys.readouterr().err
    assert ["a first key", "an admin key"] == re.findall(r"made (an? \w+ key)", told)
    assert key == prepare_home(settings)
    (tmp_path / "home/first.key").write_bytes(b"\xff")
    assert prepare_home(settings) is None, "what cannot be read is not told"
    os.unlink(tmp_path / "home/first.key")
    assert prepare_home(settings) is None
    store = open_store(settings)
    assert ["admin", "default"] == sorted(record.name for record in store.keys.all())
    store.close()


def test_given_keys(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the settings are stored and never printed."""
    admin = KEY.replace("serve", "admin")
    settings = Settings(home=str(tmp_path / "home"), bootstrap_key=KEY, admin_key=admin)
    assert KEY == prepare_home(settings)
    assert "" == capsys.readouterr().err


def test_the_engines_command(tmp_path: pathlib.Path) -> None:
    """Every setting of the engine is passed on; switches only where they are set."""
    model = ModelFile(tmp_path / "a.gguf", public_name="a", sha256="ab" * 32)
    settings = Settings(
        home=str(tmp_path),
        engine_threads=3,
        engine_sequences=4,
        engine_context_tokens=5,
        engine_gpu_layers=6,
        engine_queue_max=7,
        prefill_budget_ms=8.0,
    )
    words = engine_command(settings, model)
    assert [*MODULE, "baton.engine"] == words[:4]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert {
        "--socket": str(tmp_path / "run/engine.sock"),
        "--model": str(tmp_path / "a.gguf"),
        "--sha256": "ab" * 32,
        "--threads": "3",
        "--sequences": "4",
        "--context-tokens": "5",
        "--gpu-layers": "6",
        "--queue-max": "7",
        "--prefill-budget-ms": "8.0",
    } == options
    exact = msgspec.structs.replace(settings, engine_deterministic=True)
    assert [*words, "--deterministic"] == engine_command(exact, model)
    plain = msgspec.structs.replace(settings, engine_speculation=False)
    assert [*words, "--no-speculation"] == engine_command(plain, model)


def test_models(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file, none, and one that is not there: said, and served without."""
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    found = find_model(Settings(model=str(path), model_cache=str(tmp_path)))
    assert found is not None
    assert (path, "tiny") == (found.path, found.public_name)
    assert find_model(Settings(model="none")) is None
    assert "" == capsys.readouterr().err
    assert find_model(Settings(model=str(tmp_path / "other.gguf"))) is None
    assert "starts without the embedded model" in capsys.readouterr().err
    deep = Settings(model=str(path), model_cache=str(tmp_path), home=str(tmp_path / ("x" * 120)))
    assert find_model(deep) is None
    assert "BATON_HOME is too long for the engine's socket" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BATON_TRUSTED_PROXIES", "nobody"),
        ("BATON_REDIS_URL", "nowhere"),
        ("BATON_WEBHOOK_URL", "https://a.test/"),
        ("BATON_TLS_CERTIFICATE_FILE", "/nowhere.pem"),
        ("BATON_TLS_KEY_FILE", "/nowhere.pem"),
    ],
)
def test_what_only_a_worker_finds_wrong(tmp_path: pathlib.Path, variable: str, value: str) -> None:
    """It stops the start with its name, as any setting does: no banner, no worker after worker."""
    given = {"BATON_HOME": str(tmp_path), "BATON_MODEL": "none", "BATON_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "baton", "serve"],
        env={**os.environ, **given, variable: value},
        capture_output=True,
        text=True,
        timeout=running.STOP_TIMEOUT_S,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert variable in done.stderr
    assert "Traceback" not in done.stderr


def test_a_master_key_that_is_not_the_books(tmp_path: pathlib.Path) -> None:
    """It stops the start likewise: no worker will ever open what was sealed with another one."""
    with contextlib.closing(open_store(Settings(home=str(tmp_path)))) as store:
        store.upstreams.add(SEALED, "test")
    (tmp_path / "master.key").unlink()
    given = {"BATON_HOME": str(tmp_path), "BATON_MODEL": "none", "BATON_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "baton", "serve"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=running.STOP_TIMEOUT_S,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert "secret of upstream:up does not open" in done.stderr
    assert "Traceback" not in done.stderr


class Full(io.StringIO):
    """Standard output on a disk that is full."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_banner_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot show it serves all the same."""
    monkeypatch.setattr("sys.stdout", Full())
    _banner(Settings(), KEY, None)


def test_the_whole_with_a_model(tmp_path: pathlib.Path) -> None:
    """Banner with address, key and a line that works; a warning where no TLS leaves the machine."""
    model = tiny_gguf.write(tmp_path / "tiny.gguf")
    with running.serving(
        tmp_path / "home", {"BATON_MODEL": str(model), "BATON_HOST": "0.0.0.0"}
    ) as server:
        answer = server.endpoint.post(
            "/v1/completions", {"model": "tiny", "prompt": "ab", "max_tokens": 2}
        )
        server.cli("key", "list")
    assert (200, "tiny") == (answer.status, answer.json["model"])
    printed = server.printed()
    told = ("Baton is ready at http://", "/docs\n", "/console\n", running.KEY, '"model": "tiny"')
    for text in (*told, "WARNING"):
        assert text in printed
    assert running.ADMIN_KEY not in printed


def test_a_broken_model_is_no_reason_not_to_serve(tmp_path: pathlib.Path) -> None:
    """The engine cannot use the file: said so, ready for upstreams, its model is unknown."""
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF" + b"\0" * 64)
    settings = {"BATON_MODEL": str(model)}
    server = running.start(tmp_path / "home", settings)
    try:
        server.wait_for("/healthz")
        code = until_unknown(server)
        assert 0 == server.stop()
        assert "Baton is ready at" in server.printed()
        assert "Try it" not in server.printed()
    finally:
        server.kill()
    assert "model_not_found" == code
    assert "Baton is ready at" in server.printed()


def until_unknown(server: running.Server) -> str:
    """Ask until the workers know that there is no model inside; the error's code."""
    deadline = time.monotonic() + running.START_TIMEOUT_S
    while time.monotonic() < deadline:
        answer = server.endpoint.post("/v1/completions", {"model": "broken", "prompt": "a"})
        if answer.status == 404 and "Baton is ready" in server.printed():
            return str(answer.error["code"])
    return f"{answer.status} {server.printed()}"


def test_a_start_waits_for_its_model(tmp_path: pathlib.Path) -> None:
    """Ready once that is loaded, though there is an upstream: also where a former engine, which was
    killed, left its socket."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    with contextlib.closing(open_store(Settings(home=str(home)))) as store:
        store.upstreams.add(msgspec.structs.replace(SEALED, secret=None), "test")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as former:
        former.bind(str(home / "run/engine.sock"))
    with running.serving(home) as server:
        assert {"engine": "ok", "upstreams": 1} == {
            name: server.endpoint.get("/readyz").json[name] for name in ("engine", "upstreams")
        }
