"""Each check of `baton doctor` sees what it is for, and says what to do."""

import contextlib
import os
import pathlib
import socket
import sqlite3
from typing import Any

import msgspec
import pytest

from baton import config
from baton.cli import checks
from baton.running import marked
from baton.stores import migrate
from baton.stores.base import UpstreamRecord
from baton.stores.book import book_path, book_place, journal_folder, open_store
from tests.engine import hubs
from tests.fakes import file_server, tiny_gguf
from tests.servers import Postgres
from tests.upstreams.certified import certificate

SEALED = UpstreamRecord(
    name="up", url="http://h/v1", dialect="openai", models={}, created_us=1, secret="sk-x"
)


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> config.Settings:
    return config.load({"BATON_HOME": str(tmp_path / "home"), "BATON_MODEL": "none"}, port=0)


def changed(settings: config.Settings, **fields: object) -> config.Settings:
    return msgspec.structs.replace(settings, **fields)


def port_of(settings: config.Settings) -> checks.Finding:
    """Of the callers' listener."""
    return checks.port(settings, checks.sides(settings)[0])


def address_of(settings: config.Settings) -> checks.Finding:
    return checks.address(checks.sides(settings)[0])


def test_python_is_named() -> None:
    """The version and the machine, for bug reports."""
    assert "ok" == checks.python().state


def test_cpu_without_avx2_is_found(tmp_path: pathlib.Path) -> None:
    """The library would die of SIGILL there."""
    info = tmp_path / "cpuinfo"
    info.write_text("processor: 0\nflags : fpu sse avx f16c bmi2\n")
    found = checks.cpu(info)
    assert ("failed", "the processor lacks avx2, fma") == (found.state, found.message)
    assert "BATON_MODEL=none" in found.remedy
    info.write_text("flags : avx avx2 fma f16c bmi2\n")
    assert "ok" == checks.cpu(info).state


def test_library_is_loaded_in_a_process_of_its_own(settings: config.Settings) -> None:
    """It loads here; a crash, an error and a missing libgomp are findings, not crashes of ours."""
    given = changed(settings, model="x")
    assert "ok" == checks.library(given).state
    assert "ok" == checks.library(settings, "raise SystemExit(9)").state
    crash = checks.library(given, "import os; os.abort()")
    assert ("failed", "it ended with status -6") == (crash.state, crash.message)
    missing = checks.library(given, "raise OSError('libgomp.so.1: cannot open')")
    assert ("failed", True) == (missing.state, "libgomp1" in missing.remedy)


@pytest.mark.parametrize(
    ("given", "state", "said"),
    [
        ({}, "ok", "fit each other"),
        ({"admin_url": "https://a.test"}, "failed", "BATON_ADMIN_URL needs BATON_ADMIN_LISTEN"),
        ({"tls_key_file": "/k"}, "failed", "BATON_TLS_KEY_FILE needs BATON_TLS_CERTIFICATE_FILE"),
        ({"tls_certificate_file": "/nowhere.pem"}, "failed", "BATON_TLS_CERTIFICATE_FILE and"),
        ({"journal": "shared"}, "failed", "BATON_JOURNAL=shared needs BATON_DATABASE_URL"),
        ({"webhook_url": "https://a.test/"}, "failed", "BATON_WEBHOOK_SECRET"),
        ({"trusted_proxies": "nobody"}, "failed", "BATON_TRUSTED_PROXIES: "),
        ({"access_log": "/nowhere/log"}, "failed", "BATON_ACCESS_LOG: /nowhere/log cannot be"),
        (
            {"webhook_secret": "s3cret", "engine_threads": 2},
            "warning",
            "BATON_WEBHOOK_SECRET changes nothing without BATON_WEBHOOK_URL; "
            "BATON_ENGINE_THREADS changes nothing with BATON_MODEL=none",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other(
    settings: config.Settings, given: dict[str, Any], state: str, said: str
) -> None:
    """What a start refuses fails, also what only its worker would find; what it warns of is told.
    No secret is."""
    found = checks.settings_together(changed(settings, **given))
    assert (state, True) == (found.state, said in found.message), found
    assert "s3cret" not in found.message


def test_model_file_is_looked_at(settings: config.Settings, tmp_path: pathlib.Path) -> None:
    """There, missing, no GGUF, not fetched yet, switched off: each has its word."""
    (tmp_path / "page.gguf").write_bytes(b"<html>")
    tiny = tiny_gguf.write(tmp_path / "tiny.gguf")
    cache = str(tmp_path / "cache")
    expected = {"none": "ok", str(tiny): "ok", str(tmp_path / "page.gguf"): "failed"}
    expected |= {"/nowhere.gguf": "failed", "smollm2-135m-instruct": "warning"}
    expected |= {"hf:me/toy:Q8_0": "warning", "package:toy==1.0": "warning"}
    found = {
        name: checks.model(changed(settings, model=name, model_cache=cache)).state
        for name in expected
    }
    assert expected == found


def test_a_model_that_is_cut_is_told(settings: config.Settings, tmp_path: pathlib.Path) -> None:
    """Of several files each is looked at; one that is missing is named."""
    paths = tiny_gguf.write_parts(tmp_path / "tiny.gguf")
    given = changed(settings, model=str(paths[0]))
    assert "ok" == checks.model(given).state
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[: len(content) // 2])
    found = checks.model(given)
    assert ("failed", True) == (found.state, f"{paths[2]} is cut" in found.message)
    paths[1].unlink()
    assert f"{paths[1]}: No such file" in checks.model(given).message


def test_a_model_that_is_none_is_told(
    settings: config.Settings, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched under its name is no GGUF: that is not "not fetched yet"."""
    with hubs.hub(monkeypatch, {"page.gguf": b"<html>"}):
        hubs.told(tmp_path, "hf:me/Toy-GGUF")
    given = changed(settings, model="hf:me/Toy-GGUF", model_cache=str(tmp_path / "cache"))
    found = checks.model(given)
    assert "failed" == found.state
    assert "page.gguf is not a GGUF file" in found.message
    assert "--newest" in found.remedy


def test_folder_must_be_private(settings: config.Settings) -> None:
    """Others must not read keys; the remedy is the command to type."""
    home = settings.home_path
    assert "ok" == checks.folder(settings).state
    home.mkdir(mode=0o700)
    assert "ok" == checks.folder(settings).state
    (home / "master.key").touch(mode=0o644)
    assert f"chmod 600 {home / 'master.key'}" == checks.folder(settings).remedy
    home.chmod(0o755)
    assert f"chmod 700 {home}" == checks.folder(settings).remedy


def test_folder_must_be_one_to_write_in(
    settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its place; a read-only disk, or another user's folder."""
    settings.home_path.touch()
    assert "failed" == checks.folder(settings).state
    settings.home_path.unlink()
    settings.home_path.mkdir(mode=0o700)
    monkeypatch.setattr("os.access", lambda *_: False)
    found = checks.folder(settings)
    assert ("failed", True) == (found.state, "BATON_HOME" in found.remedy)


def test_folder_must_be_short_enough_for_the_engine(
    settings: config.Settings, tmp_path: pathlib.Path
) -> None:
    """Its socket lies there; without a model any folder will do."""
    home = tmp_path / ("x" * 120)
    home.mkdir(mode=0o700)
    found = checks.folder(changed(settings, home=str(home), model="a.gguf"))
    assert ("failed", True) == (found.state, "BATON_HOME is too long" in found.message)
    assert "ok" == checks.folder(changed(settings, home=str(home))).state


def test_store_is_opened_and_checked(settings: config.Settings) -> None:
    """Not there yet is fine; there it must be whole; damage is a finding."""
    found, upstreams = checks.store(settings, lambda: open_store(settings))
    assert ("ok", []) == (found.state, upstreams)
    open_store(settings).close()
    assert "ok" == checks.store(settings, lambda: open_store(settings))[0].state
    (settings.home_path / "baton.db").write_bytes(b"x" * 8192)
    assert "failed" == checks.store(settings, lambda: open_store(settings))[0].state


def test_an_empty_database_stays_empty(settings: config.Settings, cluster: Postgres) -> None:
    """Looking at it makes no tables there: it may be another program's, or meant for later."""
    given = changed(settings, database_url=cluster.database())
    found, _ = checks.store(given, lambda: open_store(given))
    assert ("ok", True) == (found.state, "is empty" in found.message)
    assert migrate.revision(book_place(given)) is None
    assert not given.home_path.exists()


def test_a_standby_is_found(settings: config.Settings, cluster: Postgres) -> None:
    """A server that takes no changes is none to run on, whether it has a book or not."""
    url = cluster.database()
    standby = changed(settings, database_url=f"{url}?options=-cdefault_transaction_read_only=on")
    for _ in range(2):
        found, _ = checks.store(standby, lambda: open_store(standby))
        assert ("failed", True) == (found.state, "takes no changes" in found.message)
        open_store(changed(settings, database_url=url)).close()


def test_a_book_of_another_schema_is_left_as_it_is(settings: config.Settings) -> None:
    """An older one is told and not brought up, by which a Baton that runs would be taken by
    surprise; a newer one, and an earlier Baton's journals, say what to do."""
    book = book_path(settings.home_path)
    open_store(settings).close()
    migrate.move(book, "0009")
    found, _ = checks.store(settings, lambda: open_store(settings))
    assert ("warning", True) == (found.state, "baton store migrate" in found.remedy)
    assert "0009" == migrate.revision(book)
    journal_folder(settings.home_path).mkdir()
    (journal_folder(settings.home_path) / "0.db").touch()
    found, _ = checks.store(settings, lambda: open_store(settings))
    assert ("failed", True) == (found.state, "earlier Baton" in found.message)
    (journal_folder(settings.home_path) / "0.db").unlink()
    with contextlib.closing(sqlite3.connect(book)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    found, _ = checks.store(settings, lambda: open_store(settings))
    assert ("failed", True) == (found.state, "newer Baton" in found.remedy)


def test_another_master_key_is_told(settings: config.Settings) -> None:
    """The book is sound, and no backup helps: the key is what must come back."""
    with contextlib.closing(open_store(settings)) as store:
        store.upstreams.add(SEALED, "test")
    other = changed(settings, master_key="ab" * 32)
    found, _ = checks.store(other, lambda: open_store(other))
    assert ("failed", checks.MASTER_KEY_REMEDY) == (found.state, found.remedy)


def test_port_is_free_or_a_servers_or_anothers(settings: config.Settings) -> None:
    """A running Baton is no fault; another program is."""
    assert "ok" == port_of(settings).state
    with file_server.serving({"/healthz": b'{"status":"ok","version":"1"}'}) as server:
        port = int(server.url.rpartition(":")[2])
        found = port_of(changed(settings, port=port))
        assert ("ok", True) == (found.state, "answers" in found.message)
        server.files["/healthz"] = b"<html></html>"
        found = port_of(changed(settings, port=port))
        assert "failed" == found.state
        del server.files["/healthz"]
        found = port_of(changed(settings, port=port))
        assert ("failed", True) == (found.state, "BATON_PORT" in found.remedy)


def test_a_baton_with_a_certificate_of_its_own(
    settings: config.Settings, tmp_path: pathlib.Path
) -> None:
    """It is for the public name, not for the address that is asked here."""
    context, file = certificate(tmp_path, "relay.example.org")
    alive = {"/healthz": b'{"status":"ok","version":"1"}'}
    with file_server.serving(alive, context) as server:
        port = int(server.url.rpartition(":")[2])
        found = port_of(changed(settings, port=port, tls_certificate_file=file))
    assert ("ok", True) == (found.state, "a Baton answers" in found.message)


def test_a_host_that_is_none_is_found(settings: config.Settings) -> None:
    """No other program is blamed, and nothing said of who can reach it."""
    for host, state in (("127.0.0.1:8080", "failed"), ("ключ..b", "ok")):
        given = changed(settings, host=host)
        found = port_of(given)
        assert ("failed", True) == (found.state, "BATON_HOST" in found.message)
        assert state == address_of(given).state


def test_a_listener_for_operators(settings: config.Settings) -> None:
    """It is looked at as the first one is, and its own settings are named."""
    with file_server.serving({"/healthz": b'{"status":"ok","version":"1"}'}) as server:
        place = server.url.removeprefix("http://")
        _, side = checks.sides(changed(settings, admin_listen=place))
        found = checks.port(settings, side)
        assert ("admin port", "ok", f"a Baton answers at {place}") == told(found)
        server.files["/healthz"] = b"<html></html>"
        found = checks.port(settings, side)
        assert ("admin port", "failed", f"{place} is another program's") == told(found)
        assert "BATON_ADMIN_LISTEN" in found.remedy
        assert ("admin address", "ok", server.url) == told(checks.address(side))
    same = changed(settings, port=1234, admin_listen="127.0.0.1:1234")
    found = checks.port(same, checks.sides(same)[1])
    assert ("admin port", "failed", "127.0.0.1:1234 is the callers', too") == told(found)
    assert "BATON_ADMIN_LISTEN" in found.remedy
    _, side = checks.sides(changed(settings, admin_listen="0.0.0.0:0"))
    assert ("admin port", "ok", "0.0.0.0:0 is free") == told(checks.port(settings, side))
    found = checks.address(side)
    assert ("admin address", "warning", "http://0.0.0.0:0 has no TLS") == told(found)
    assert "BATON_ADMIN_URL" in found.remedy


def told(found: checks.Finding) -> tuple[str, str, str]:
    return found.check, found.state, found.message


def test_a_baton_that_does_not_answer(
    settings: config.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor lives, its workers hang: that is said, not that another program is there."""
    monkeypatch.setattr(checks, "ALIVE_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        given = changed(settings, port=silent.getsockname()[1])
        assert "another program's" in port_of(given).message
        with marked(given.home_path):
            found = port_of(given)
    assert "failed" == found.state
    assert f"the Baton there (process {os.getpid()}) has not answered" in found.message
    assert "restart it" in found.remedy


def test_upstream_must_answer_and_take_the_key() -> None:
    """Any answer below 500 but a refusal of the key is good; silence is not."""
    with file_server.serving({"/v1/models": b"{}"}) as server:
        record = UpstreamRecord(name="u", url=f"{server.url}/v1", dialect="openai", models={})
        found = {}
        for status in (200, 404, 401, 500):
            server.statuses["/v1/models"] = status
            found[status] = checks.upstream(record).state
    assert {200: "ok", 404: "ok", 401: "failed", 500: "failed"} == found
    silent = checks.upstream(record)
    assert ("failed", True) == (silent.state, "connection refused" in silent.message)
    gone = msgspec.structs.replace(record, dialect="none such")
    assert "there is no dialect 'none such'" in checks.upstream(gone).message


@pytest.mark.parametrize(
    ("dialect", "path", "header"),
    [
        ("openai", "/v1/models", ("Authorization", "Bearer sk-x")),
        ("anthropic", "/v1/models", ("x-api-key", "sk-x")),
        ("gemini", "/v1/models", ("x-goog-api-key", "sk-x")),
        ("azure", "/v1/models", ("api-key", "sk-x")),
        ("ollama", "/v1/models", ("Authorization", "Bearer sk-x")),
        ("deepseek", "/beta/models", ("Authorization", "Bearer sk-x")),
    ],
)
def test_upstream_is_asked_as_requests_ask_it(
    dialect: str, path: str, header: tuple[str, str]
) -> None:
    """Where its dialect has its routes, with the key as it takes one, and its own headers."""
    with file_server.serving({path: b"{}"}) as server:
        record = UpstreamRecord(
            name="u",
            url=f"{server.url}/v1",
            dialect=dialect,
            models={},
            secret="sk-x",
            headers={"X-Team": "a"},
        )
        assert "ok" == checks.upstream(record).state
        (sent,) = server.headers
        assert [(path, None)] == server.asked
    assert header[1] == sent[header[0]]
    assert "a" == sent["X-Team"]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "ok"),
        ({"host": "127.1"}, "ok"),
        ({"host": "0.0.0.0"}, "warning"),
        ({"host": "0.0.0.0", "public_url": "https://relay.example.org"}, "ok"),
        ({"public_url": "relay.example.org"}, "failed"),
    ],
)
def test_address_is_one_and_has_tls(
    settings: config.Settings, fields: dict[str, str], state: str
) -> None:
    """A public address needs TLS in front or here, and must be an address."""
    assert state == address_of(changed(settings, **fields)).state
