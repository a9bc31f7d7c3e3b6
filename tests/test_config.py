"""Settings: where they come from, which stands over which, and what stops the start."""

import pathlib

import msgspec
import pytest

from baton.config import Settings, SettingsError, load, misspelt
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
    ("environment", "named"),
    [
        ({"BATON_PORT": "70000"}, "port"),
        ({"BATON_PORT": "http"}, "port"),
        ({"BATON_WORKERS": "0"}, "workers"),
        ({"BATON_KEEP_ALIVE_S": "0"}, "keep_alive_s"),
        ({"BATON_KEEP_ALIVE_S": "nan"}, "keep_alive_s"),
        ({"BATON_ENGINE_DETERMINISTIC": "maybe"}, "engine_deterministic"),
        ({"BATON_LOG_LEVEL": "loud"}, "log_level"),
        ({"BATON_LOGPROBS_MAX": "-1"}, "logprobs_max"),
        ({"BATON_HOST": ""}, "host"),
        ({"BATON_HOME": "/tmp/bad\udcff"}, "home"),
        ({"BATON_MODEL": "bad\udcff.gguf"}, "model"),
    ],
)
def test_what_cannot_be_used_is_named(environment: dict[str, str], named: str) -> None:
    """Out of range or of another kind."""
    with pytest.raises(SettingsError, match=named):
        load(environment)


@pytest.mark.parametrize(
    ("text", "named"),
    [("prot = 1", "prot"), ("port = 70000", "port"), ("port = ", "baton.toml")],
)
def test_a_file_that_cannot_be_used(tmp_path: pathlib.Path, text: str, named: str) -> None:
    """An unknown key, a value out of range and what is no TOML are told by name."""
    with pytest.raises(SettingsError, match=named):
        load(written(tmp_path, text))


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


def test_a_variable_that_is_no_setting_is_told() -> None:
    """With what may be meant; keys of upstreams have names of the operator's choice."""
    given = {"BATON_PROT": "1", "BATON_PORT": "1", "BATON_UPSTREAM_GPU_KEY": "x", "PORT": "1"}
    assert ["BATON_PROT is no setting: is BATON_PORT meant?"] == misspelt(given)
    assert ["BATON_QQQQ is no setting."] == misspelt({"BATON_QQQQ": ""})
