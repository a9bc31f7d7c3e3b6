"""What a reload takes on: every setting either changes with the workers or waits for a restart."""

import pathlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton import config
from baton.config import Settings
from baton.engine.models import ModelFile
from baton.listening import bind_all
from baton.reloading import FIXED, taken
from baton.serve import engine_command, reloads

NAMES = Settings.__struct_fields__
MODEL = ModelFile(pathlib.Path("a.gguf"), "a", "ab" * 32)
OTHERS: dict[type, object] = {str: "other", bool: None, int: 7, float: 7.5}
"""A value that no setting has by itself; it need not be one that can be used."""


def other(name: str) -> object:
    usual = getattr(Settings(), name)
    return (not usual) if isinstance(usual, bool) else OTHERS[type(usual)]


def with_others(names: set[str]) -> Settings:
    return msgspec.structs.replace(Settings(), **{name: other(name) for name in names})


subsets = st.sets(st.sampled_from(NAMES))


@given(began=subsets, now=subsets, since=st.sets(st.sampled_from(["port", "model"])))
def test_each_setting_changes_or_waits(began: set[str], now: set[str], since: set[str]) -> None:
    """Whatever was there before: those that are fixed stay as they run, all others become what was
    read; what differs is named once, and told apart."""
    first, read = with_others(began), with_others(now)
    runs = msgspec.structs.replace(first, **{name: other(name) for name in since})
    found = taken(runs, first, read)
    for name in NAMES:
        source = runs if name in FIXED else read
        assert getattr(source, name) == getattr(found.settings, name)
    differ = {name for name in NAMES if getattr(first, name) != getattr(read, name)}
    assert differ - set(FIXED) == set(found.changed)
    assert differ & set(FIXED) == set(found.waiting)


def test_fixed_ones_are_settings() -> None:
    """A name that is none would keep nothing."""
    assert len(set(FIXED)) == len(FIXED)
    assert set(FIXED) <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FIXED])
def test_the_engine_and_the_sockets_know_only_fixed_ones(name: str) -> None:
    """What they were begun with does not change under them."""
    usual = Settings(port=0)
    changed = msgspec.structs.replace(usual, **{name: other(name)})
    assert engine_command(usual, MODEL) == engine_command(changed, MODEL)
    listeners = bind_all(changed)
    try:
        assert ["127.0.0.1"] == [listener.getsockname()[0] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def reloaded(home: pathlib.Path, before: str, after: str, **runs: object) -> Settings | None:
    """What a reload makes of the settings of `before` in baton.toml, with `runs` over them since,
    when `after` is there."""
    file = home / "baton.toml"
    file.write_text(before)
    began = config.load({}, home=str(home))
    reread = reloads(began, lambda: config.load({}, home=str(home)))
    file.write_text(after)
    return reread(msgspec.structs.replace(began, **runs))


def test_a_reload_reads_the_settings_anew(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name it is said what is new, what waits for a restart and what changes nothing; no value
    is said, which may be a secret."""
    before = 'port = 0\nstops_max = 4\nwebhook_secret = "first"\n'
    after = 'port = 9\nstops_max = 5\nwebhook_secret = "second"\nmodel = "other.gguf"\n'
    settings = reloaded(tmp_path, before, after, port=40_123, model="none")
    assert settings is not None
    found = settings.port, settings.model, settings.stops_max, settings.webhook_secret
    assert (40_123, "none", 5, "second") == found
    said = capsys.readouterr().err
    assert "new with this reload: BATON_STOPS_MAX, BATON_WEBHOOK_SECRET\n" in said
    assert "a restart is needed for: BATON_PORT, BATON_MODEL\n" in said
    assert "BATON_WEBHOOK_SECRET changes nothing without BATON_WEBHOOK_URL" in said
    assert "second" not in said


def test_a_reload_of_the_same_says_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after an upgrade of the package."""
    settings = reloaded(tmp_path, "stops_max = 5", "stops_max = 5", port=40_123)
    assert settings is not None
    assert (40_123, 5) == (settings.port, settings.stops_max)
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ('stops_max = "many"', "stops_max in "),
        ("stops_mux = 5", "is stops_max meant?"),
        ("stops_max = ", "baton.toml"),
        ('access_log = "/nowhere/log"', "BATON_ACCESS_LOG: /nowhere/log cannot be written"),
        ('admin_url = "https://a.test"', "BATON_ADMIN_URL needs BATON_ADMIN_LISTEN"),
    ],
)
def test_a_reload_with_wrong_settings_changes_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], after: str, why: str
) -> None:
    """It is said what is wrong; all goes on as it is."""
    assert reloaded(tmp_path, "stops_max = 5", after) is None
    said = capsys.readouterr().err
    assert "nothing is reloaded: " in said
    assert why in said
