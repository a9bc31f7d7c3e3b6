"""The embedded model as the routes see it: there, on its way for the first time, or gone."""

import asyncio
import contextlib
import pathlib
import socket

import pytest

from baton.upstreams import embedded_model as module
from baton.upstreams.base import UpstreamError
from baton.upstreams.embedded import EmbeddedUpstream
from baton.upstreams.embedded_model import EmbeddedModel, State
from tests.engine.process import engine_process
from tests.fakes import tiny_gguf


def model_at(folder: pathlib.Path, wait_s: float = 60.0) -> EmbeddedModel:
    path = folder / "engine.sock"
    marks = (path, path.with_suffix(".died"))
    return EmbeddedModel("tiny", EmbeddedUpstream("embedded", str(path)), marks, wait_s)


def state(model: EmbeddedModel) -> State:
    return asyncio.run(model.state())


def test_it_is_awaited_once(tmp_path: pathlib.Path) -> None:
    """Until it is there; one that died is not, neither by who knew it nor by who comes later. Its
    ids and texts are the engine's."""
    file = tiny_gguf.write(tmp_path / "tiny.gguf")
    assert ["loading", "down"] == [state(model_at(tmp_path, wait_s)) for wait_s in (60.0, 0.0)]
    assert model_at(tmp_path).description is None

    async def asked() -> tuple[State, State, str]:
        model = model_at(tmp_path)
        with engine_process(file, tmp_path) as engine:
            before = await model.state()
            tokens = await model.tokenize("abc", add_special=False, parse_special=False)
            text = await model.detokenize(tokens.ids)
            assert model.description is not None
            engine.process.kill()
            engine.process.wait()
            return before, await model.state(), text

    assert ("ok", "down", "abc") == asyncio.run(asked())
    assert "down" == state(model_at(tmp_path))


def test_who_saw_it_does_not_await_it(tmp_path: pathlib.Path) -> None:
    """Also where its socket is gone with it."""
    file = tiny_gguf.write(tmp_path / "tiny.gguf")

    async def asked() -> State:
        model = model_at(tmp_path)
        with engine_process(file, tmp_path):
            assert "ok" == await model.state()
        (tmp_path / "engine.sock").unlink(missing_ok=True)
        return await model.state()

    assert "down" == asyncio.run(asked())


def test_one_that_died_before_it_was_there_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    """By whoever comes later, either: it may die again and again."""
    model = model_at(tmp_path)
    assert "loading" == state(model)
    (tmp_path / "engine.died").touch()
    assert ["down", "down"] == [state(model), state(model_at(tmp_path))]


def test_one_that_says_nothing_is_not_waited_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and hangs."""
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.05)

    with contextlib.closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()
        assert "down" == state(model_at(tmp_path))
        with pytest.raises(UpstreamError):
            asyncio.run(asyncio.wait_for(model_at(tmp_path).describe(), 10.0))
