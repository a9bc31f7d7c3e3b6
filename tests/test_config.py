"""Settings: where they come from, which stands over which, and what stops the start."""

import pathlib
import re
from urllib.parse import urlsplit

import msgspec
import pytest

from baton.config import Settings, SettingsError, load
from baton.protocol import RequestLimits


def written(home: pathlib.Path, text: str) -> dict[str, str]:
    """A baton.toml in the home; the environment that names it."""
    (home / "baton.toml").write_text(text, encoding="utf-8")
    return {"BATON_HOME": str(home)}


def test_options_stand_over_environment_over_file_over_default(tmp_path: pathlib.Path) -> None:
    """Each source adds what those above it leave open."""
    environment = written(tmp_path, 'port = 1\nworkers = 2\nn_max = 3\nmodel = "file"')
    environment |= {"BATON_PORT": "4", "BATON_WORKERS": "5", "BATON_ENGINE_DETERMINISTIC": "true"}
    settings = load(environment, port=6)
    assert (6, 5, 3, "file") == (settings.port, settings.workers, settings.n_max, settings.model)
    assert settings.engine_deterministic is True
    assert Settings().keep_alive_s == settings.keep_alive_s
    assert tmp_path == settings.home_path
    assert tmp_path / "run/engine.sock" == settings.engine_socket


def test_places(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home and cache follow XDG, and are absolute."""
    monkeypatch.chdir(tmp_path)
    xdg = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert str(tmp_path / "data/baton") == load(xdg).home
    assert str(tmp_path / "cache/baton/models") == load(xdg).model_cache
    assert str(pathlib.Path.home() / ".local/share/baton") == load({}).home
    assert str(pathlib.Path.home() / ".cache/baton/models") == load({}).model_cache
    assert str(tmp_path / "here") == load(xdg, home="here").home
    assert "/elsewhere" == load({**xdg, "BATON_MODEL_CACHE": "/elsewhere"}).model_cache


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "70000", "is '70000', not a whole number from 0 to 65535"),
        ("PORT", "http", "is 'http', not a whole number from 0 to 65535"),
        ("WORKERS", "0", "is '0', not a whole number from 1 to 64"),
        ("WORKERS", " 2 ", "is ' 2 ', not a whole number from 1 to 64"),
        ("KEEP_ALIVE_S", "0", "is '0', not a number of seconds above 0, at most 86400"),
        ("KEEP_ALIVE_S", "nan", "is 'nan', not a number of seconds above 0, at most 86400"),
        ("DRAIN_TIMEOUT_S", "30s", "is '30s', not a number of seconds above 0, at most 86400"),
        ("ENGINE_DETERMINISTIC", "maybe", "is 'maybe', not true or false"),
        ("LOG_LEVEL", "loud", "is 'loud', not 'debug' or 'info' or 'warning' or 'error'"),
        ("LOGPROBS_MAX", "-1", "is '-1', not a whole number from 0 to 100"),
        ("HOST", "", "is '', not a text that is not empty"),
        ("HOME", "/tmp/bad\udcff", "is no UTF-8 text"),
        ("MODEL", "bad\udcff.gguf", "is no UTF-8 text"),
        ("WEBHOOK_PERCENTS", "abc", "is 'abc', not percents from 1 to 100"),
        ("OTEL_URL", "foo", "is no address"),
        ("PUBLIC_URL", "example.org", "is no address"),
        ("CORS_ORIGINS", "example.com", "has 'example.com', which is no origin"),
        ("ADMIN_LISTEN", "9090", "is '9090', not a host and a port, such as 127.0.0.1:9090"),
        ("ADMIN_URL", "example.org:9090", "is no address"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str, said: str) -> None:
    """Out of range, of another kind, or not to be meant: what was given and what is expected."""
    with pytest.raises(SettingsError, match=f"^BATON_{name} {re.escape(said)}"):
        load({f"BATON_{name}": value})


def test_an_empty_variable(tmp_path: pathlib.Path) -> None:
    """As compose files leave it: not set; but a text whose default is empty, it empties."""
    environment = written(tmp_path, 'n_max = 3\notel_url = "http://a.test"')
    empty = ("WORKERS", "N_MAX", "LOG_LEVEL", "WEBHOOK_PERCENTS", "MODEL", "OTEL_URL", "HOME")
    settings = load({f"BATON_{name}": "" for name in empty} | environment)
    plain = Settings()
    assert (plain.workers, 3, plain.log_level) == (
        settings.workers,
        settings.n_max,
        settings.log_level,
    )
    assert (plain.webhook_percents, plain.model) == (settings.webhook_percents, settings.model)
    assert "" == settings.otel_url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot in HOME/baton.toml is no setting: is port meant?"),
        ("qqqq = 1", "qqqq in HOME/baton.toml is no setting"),
        ("home = '/srv'", "home in HOME/baton.toml comes too late: set "),
        ("port = 70000", "port in HOME/baton.toml is 70000, not a whole number from 0 to 65535"),
        ("port = ", "HOME/baton.toml: Invalid value"),
        ("otel_url = 'foo'", "otel_url in HOME/baton.toml is no address"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: pathlib.Path, text: str, said: str) -> None:
    """An unknown key, a value out of range and what is no TOML are told by name and place."""
    said = said.replace("HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=f"^{re.escape(said)}"):
        load(written(tmp_path, text))


def test_an_option_that_cannot_be_used(tmp_path: pathlib.Path) -> None:
    """It is named as it was given."""
    with pytest.raises(SettingsError, match=r"^--port is 70000, not a whole number"):
        load({"BATON_HOME": str(tmp_path), "BATON_PORT": "1"}, port=70000)


def test_a_file_that_cannot_be_read(tmp_path: pathlib.Path) -> None:
    """It is named, and what the system says of it; a home that is none is told where it is made."""
    (tmp_path / "baton.toml").mkdir()
    with pytest.raises(SettingsError, match=r"baton\.toml: Is a directory"):
        load({"BATON_HOME": str(tmp_path)})
    (tmp_path / "a_file").touch()
    assert str(tmp_path / "a_file") == load({"BATON_HOME": str(tmp_path / "a_file")}).home


def test_a_user_without_a_home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with any number for a user: what to set is told."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 3)
    with pytest.raises(SettingsError, match="BATON_HOME"):
        load({})
    with pytest.raises(SettingsError, match="BATON_MODEL_CACHE"):
        load({"BATON_HOME": str(tmp_path)})
    assert "x" == load({"BATON_HOME": str(tmp_path), "BATON_MODEL_CACHE": "x"}).model_cache


def test_errors_tell_no_secret(tmp_path: pathlib.Path) -> None:
    """A setting of the wrong kind is named, what it holds is not."""
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, "admin_key = ['sk-very-secret-000000000']"))
    assert "admin_key" in str(caught.value)
    assert "secret-0" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::1", "port": 1}, "http://[::1]:1"),
        ({"tls_certificate_file": "x"}, "https://127.0.0.1:8080"),
        ({"public_url": "https://a.test/base/"}, "https://a.test/base"),
    ],
)
def test_address(fields: dict[str, object], address: str) -> None:
    """What callers type before /v1."""
    assert address == msgspec.convert(fields, Settings).address


@pytest.mark.parametrize(
    ("fields", "address", "own"),
    [
        ({}, "http://127.0.0.1:8080", ""),
        ({"public_url": "https://a.test"}, "https://a.test", ""),
        ({"admin_listen": "[::1]:9090"}, "http://[::1]:9090", "http://[::1]:9090"),
        (
            {"admin_listen": "b.test:1", "admin_url": "https://c.test/", "public_url": "http://a"},
            "https://c.test",
            "http://b.test:1",
        ),
        (
            {"admin_listen": "b.test:1", "tls_certificate_file": "x"},
            "https://b.test:1",
            "https://b.test:1",
        ),
    ],
)
def test_admin_address(fields: dict[str, object], address: str, own: str) -> None:
    """What operators type: that of callers, unless there is a listener for them; each of its names
    is one of ours."""
    settings = msgspec.convert(fields, Settings)
    assert (address, own) == (settings.admin_address, settings.own_admin_address)
    names = {urlsplit(each).hostname for each in (settings.address, address, own) if each}
    assert names <= set(settings.own_names)


def test_request_limits() -> None:
    """Every limit of a request that is a setting is passed on, with the same default."""
    assert RequestLimits() == Settings().request_limits()
    numbers = {
        name: number
        for number, name in enumerate(Settings.__struct_fields__, 3)
        if name in RequestLimits.__struct_fields__
    }
    limits = msgspec.convert(numbers, Settings).request_limits()
    assert numbers == {name: getattr(limits, name) for name in numbers}
    assert 8 == len(numbers)
