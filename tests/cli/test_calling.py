"""Commands call a Baton with the right key, and say in its words what went wrong."""

import os
import pathlib
import socket

import pytest

from baton import config
from baton.cli import calling
from baton.cli.main import CommandError
from tests.fakes import file_server


def test_key_and_body_are_sent() -> None:
    """The path goes below the base address, the key into Authorization."""
    with file_server.serving({"/m/x/v1/completions": b"{}"}) as server:
        body = calling.answered(f"{server.url}/m/x/", "/v1/completions", "sk-1", b'{"a":1}').read()
        assert (b"{}", [("Bearer sk-1", b'{"a":1}')]) == (body, server.posted)


def test_errors_are_told_in_the_servers_words() -> None:
    """OpenAI's error object gives its message; anything else its text."""
    error = b'{"error":{"message":"no such","type":"t","param":null,"code":null}}'
    with file_server.serving({"/a": error, "/b": b"<p>down</p>"}) as server:
        server.statuses = {"/a": 404, "/b": 502}
        with pytest.raises(CommandError, match="answered 404: no such"):
            calling.answered(server.url, "/a", None)
        with pytest.raises(CommandError, match="answered 502: <p>down</p>"):
            calling.answered(server.url, "/b", None)


def test_nobody_there_says_what_to_start() -> None:
    """A refused connection names the address and `baton serve`."""
    with file_server.serving({}) as server:
        gone = server.url
    with pytest.raises(CommandError, match=r"baton serve"):
        calling.answered(gone, "/a", None)


def test_who_does_not_answer_is_not_nobody() -> None:
    """Something has the port, so it is not to be started; how long it was waited for is told."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CommandError, match=r"has not answered in 0\.1 s") as caught:
            calling.answered(base, "/a", None, timeout_s=0.1)
    assert "baton serve" not in str(caught.value)


@pytest.mark.parametrize(
    ("base", "key"),
    [("http://127.0.0.1:99999", None), ("http://[::1", None), ("http://127.0.0.1:1", "a\nb")],
)
def test_what_cannot_be_called_is_named(base: str, key: str | None) -> None:
    """An address or a key that fits into no request is a message, not a traceback."""
    with pytest.raises(CommandError, match="cannot be called"):
        calling.answered(base, "/a", key)


def test_key_comes_from_the_nearest_place(tmp_path: pathlib.Path) -> None:
    """Option, environment, bootstrap setting, the file of the first start, in this order."""
    (tmp_path / config.FIRST_KEY_FILE).write_text("sk-file\n")
    settings = config.load({"BATON_HOME": str(tmp_path), "BATON_BOOTSTRAP_KEY": "sk-boot"})
    plain = config.load({"BATON_HOME": str(tmp_path)})
    environment = {"OPENAI_API_KEY": "sk-env"}
    assert ["sk-option", "sk-env", "sk-boot", "sk-file"] == [
        calling.key_for(settings, "sk-option", environment),
        calling.key_for(settings, None, environment),
        calling.key_for(settings, None, {}),
        calling.key_for(plain, None, {}),
    ]
    os.remove(tmp_path / config.FIRST_KEY_FILE)
    assert calling.key_for(plain, None, {}) is None
