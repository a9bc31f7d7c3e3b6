"""The hub's token is found where the hub's own client finds it: each line is what huggingface_hub
2.4.0 said in the same place."""

import pathlib

import pytest

from baton.engine import hub_token
from baton.engine.models import NotFetched


@pytest.fixture
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """With a token of the usual place, and one elsewhere."""
    for name, text in ((".cache/huggingface", " in-home \r\n"), ("other", "in\nother")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "token").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "value"),
    [
        ({}, "in-home"),
        ({"HF_TOKEN": " x\n"}, "x"),
        ({"HF_TOKEN": "x", "HUGGING_FACE_HUB_TOKEN": "y"}, "x"),
        ({"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "y"}, "y"),
        ({"HF_TOKEN": " ", "HUGGING_FACE_HUB_TOKEN": "y"}, "in-home"),
        ({"HF_HOME": "~/other"}, "inother"),
        ({"HF_HOME": "$HOME/other"}, "inother"),
        ({"HF_TOKEN_PATH": "~/other/token", "HF_HOME": "/nowhere"}, "inother"),
        ({"XDG_CACHE_HOME": "/nowhere"}, ""),
        ({"HF_TOKEN": "x", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"}, ""),
        ({"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, ""),
        ({"HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}, "in-home"),
    ],
)
def test_as_the_hubs_own_client(home: pathlib.Path, variables: dict[str, str], value: str) -> None:
    """By the same variables in the same order, cleaned in the same way."""
    assert value == hub_token.of(variables).value


@pytest.mark.parametrize(
    "variables",
    [{"HF_HOME": "", "HF_TOKEN_PATH": ""}, {"HF_TOKEN_PATH": "~/.cache/huggingface/token/x"}],
)
def test_otherwise_than_the_hubs_own_client(home: pathlib.Path, variables: dict[str, str]) -> None:
    """An empty variable is as one that is not set, and a path that leads nowhere holds none: there
    the first is the working folder, and the second an error."""
    expected = "in-home" if "HF_HOME" in variables else ""
    assert expected == hub_token.of(variables).value


def test_where_it_is_from(home: pathlib.Path) -> None:
    """So that whoever is told that it is not valid knows what to change."""
    assert "HF_TOKEN" == hub_token.of({"HF_TOKEN": "x"}).place
    assert f"the token in {home}/other/token" == hub_token.of({"HF_HOME": "~/other"}).place


def test_what_cannot_be_used(home: pathlib.Path) -> None:
    """Is told by its place, never by what it holds; a file is read up to a limit."""
    path = home / "other" / "token"
    for content in (b"secret \xff", b"sec ret", b"secret " * 10_000):
        path.write_bytes(content)
        with pytest.raises(NotFetched, match="holds characters that no token has") as raised:
            hub_token.of({"HF_HOME": "~/other"})
        assert str(path) in str(raised.value)
        assert "secret" not in str(raised.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(NotFetched, match=r"cannot be read \(Is a directory\).*or set HF_TOKEN"):
        hub_token.of({"HF_HOME": "~/other"})
