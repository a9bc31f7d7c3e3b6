"""What the command line accepts is what the admin API accepts."""

import pytest

from baton.cli import checked
from baton.cli.main import CommandError

UPSTREAM = {"name": "gpu", "url": "http://h", "dialect": "vllm", "models": {"a": "b"}}


def test_good_fields_come_back_with_defaults() -> None:
    """What is left out has the admin API's default."""
    assert {**UPSTREAM, "weight": 100, "secret": None} == {
        name: value
        for name, value in checked.upstream_fields(UPSTREAM).items()
        if name in (*UPSTREAM, "weight", "secret")
    }
    assert "user" == checked.key_fields({"name": "alice"})["role"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "g/p"},
        {"name": "embedded"},
        {"url": "gpu.example.org"},
        {"url": "http://key@h/v1"},
        {"dialect": "odd"},
        {"weight": -1},
        {"secret": "with space"},
    ],
)
def test_an_upstream_that_cannot_work_is_named(fields: dict[str, object]) -> None:
    """The message begins with the upstream."""
    with pytest.raises(CommandError, match=r"^upstream "):
        checked.upstream_fields({**UPSTREAM, **fields})


def test_a_key_beyond_its_limits_is_named() -> None:
    """The field is in the message."""
    with pytest.raises(CommandError, match=r"^key a: .*requests_per_minute"):
        checked.key_fields({"name": "a", "requests_per_minute": 0})
