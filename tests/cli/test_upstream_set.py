"""`baton upstream set`: what is named changes, the rest stays, and what cannot work is refused."""

import pytest

from baton.cli.opened import opened
from tests.cli.conftest import Cli
from tests.cli.test_upstream import ADD, stored_key

SECONDS = {
    "first_byte_timeout_s": 7.5,
    "stall_timeout_s": 3.0,
    "total_timeout_s": 900.0,
    "hedge_after_s": 0.4,
    "probe_interval_s": 5.0,
}


WORDS = dict(
    zip(
        SECONDS,
        ("--first-byte-s", "--stall-s", "--total-s", "--hedge-after-s", "--probe-every-s"),
        strict=True,
    )
)


def options(values: dict[str, float]) -> list[str]:
    return [word for name, value in values.items() for word in (WORDS[name], str(value))]


def test_every_time_can_be_set_and_taken_back(cli: Cli) -> None:
    """When it is added and later; 0 is Baton's own setting, or never."""
    assert 0 == cli(*ADD, *options(SECONDS)).code
    shown = cli.ok("upstream", "show", "gpu")
    assert SECONDS == {name: shown[name] for name in SECONDS}
    changed = cli.ok("upstream", "set", "gpu", *options({"stall_timeout_s": 4.0}))
    assert {**SECONDS, "stall_timeout_s": 4.0} == {name: changed[name] for name in SECONDS}
    changed = cli.ok("upstream", "set", "gpu", *options(dict.fromkeys(SECONDS, 0)))
    assert {None} == {changed[name] for name in SECONDS}


def test_only_what_is_named_changes(cli: Cli) -> None:
    """The key stays, unless another one is given; so does whatever else there is."""
    cli(*ADD, "--key", "sk-first", "--weight", "7", "--field", "top_k")
    before = cli.ok("upstream", "show", "gpu")
    words = ("--priority", "2", "--in-flight-max", "9", "--vocabulary", "*=qwen.gguf")
    after = cli.ok("upstream", "set", "gpu", *words)
    changes = {"priority": 2, "in_flight_max": 9, "vocabularies": {"*": "qwen.gguf"}}
    assert {**before, **changes} == {**before, **after}
    assert "sk-first" == stored_key("gpu")
    assert 0 == cli("upstream", "set", "gpu", "--key", "-", stdin="sk-second\n").code
    assert "sk-second" == stored_key("gpu")
    moved = cli.ok("upstream", "set", "gpu", "--url", "http://127.0.0.1:8/v1", "--model", "a=b")
    assert ("http://127.0.0.1:8/v1", {"a": "b"}) == (moved["url"], moved["models"])
    assert "sk-second" == stored_key("gpu")


@pytest.mark.parametrize(
    "words",
    [
        "gpu",
        "none --weight 1",
        "gpu --url ftp://h",
        "gpu --url http://169.254.169.254",
        "gpu --model =a",
        "gpu --probe-every-s 0.01",
        "gpu --total-s 1e9",
    ],
)
def test_what_cannot_work_changes_nothing(cli: Cli, words: str) -> None:
    """Looked at as what is added is."""
    cli(*ADD)
    with opened() as store:
        before = store.upstreams.all(secrets=True)
    assert 1 == cli("upstream", "set", *words.split()).code
    with opened() as store:
        assert before == store.upstreams.all(secrets=True)
