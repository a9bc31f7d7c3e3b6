"""The peers of the benchmarks: how they are set up, and what is said of one that is not there."""

import contextlib
import json
import pathlib
import re

import pytest

from bench import __main__ as command
from bench import machine, peers, peers_setup, relay_bench, report
from bench.peers_setup import Package, PeerMissing
from bench.relays import Relay
from tests.load.conftest import Stage


def _package(version: str, *commands: list[str]) -> Package:
    """Installed by `commands`; it lists its folder's place."""
    return Package(version, (), lambda _: list(commands), lambda place: ["echo", f'["{place}"]'])


def test_an_installation_is_kept_until_its_version_changes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made once, in a folder of its own, with its versions; anew for another version."""
    counted = tmp_path / "count"
    add = ["sh", "-c", f"echo one >> {counted}"]
    for version, made in (("1", 1), ("1", 1), ("2", 2)):
        monkeypatch.setitem(peers_setup.PACKAGES, "portkey", _package(version, add))
        place = peers_setup.installed("portkey", tmp_path / "peers")
        assert made == len(counted.read_text(encoding="utf-8").split())
    assert tmp_path / "peers" / "portkey" == place
    kept = json.loads((place / "installed.json").read_text(encoding="utf-8"))
    assert {"version": "2", "packages": [str(place)]} == kept


def test_a_failed_installation_is_told_and_tried_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the end of what the client said; the half-made folder does not count as installed."""
    refused = _package("1", ["sh", "-c", "echo no such package >&2; exit 3"])
    monkeypatch.setitem(peers_setup.PACKAGES, "litellm", refused)
    for _ in range(2):
        with pytest.raises(PeerMissing, match="sh ended with 3: no such package"):
            peers_setup.installed("litellm", tmp_path)


def test_a_missing_tool_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerMissing, match="node and npm not installed"):
        peers_setup.installed("portkey", tmp_path / "peers")
    assert not (tmp_path / "peers").exists()


def test_versions_are_pinned_and_environments_apart(tmp_path: pathlib.Path) -> None:
    """What the page compares with is one version, and no command leaves the peer's folder."""
    for name, wanted in (("litellm", "litellm[proxy]==1.100.5"), ("portkey", "gateway@1.15.2")):
        commands = peers_setup.PACKAGES[name].commands(tmp_path)
        assert any(wanted in word for command in commands for word in command)
        assert all(any(str(tmp_path) in word for word in command) for command in commands)


def test_settings_of_the_peers() -> None:
    """Loopback, the upstream's address, and nothing that is sent home."""
    written = peers.LITELLM.format(model="m", mock_port=9)
    assert "model: text-completion-openai/m\n      api_base: http://127.0.0.1:9/v1\n" in written
    assert "telemetry: false" in written
    assert "bind 127.0.0.1:8\n" in peers.HAPROXY.format(port=8, mock_port=9)
    relay = Relay("portkey", 8, 0, "sk-none", "m", peers.portkey_headers(9))
    head = relay.request(stream=False).partition(b"\r\n\r\n")[0].decode()
    assert "\r\nx-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:9/v1" in head


def test_the_command_line() -> None:
    """Peers stand behind a part; without them, and without parts, all is as it was."""
    asked = command._options(["relay", "--peers", "haproxy", "litellm", "--quick"])
    assert (["relay"], ["haproxy", "litellm"]) == (asked.parts, asked.peers)
    plain = command._options([])
    assert (["relay", "engine"], []) == (plain.parts, plain.peers)
    for words in (["relays"], ["relay", "--peers", "apache"]):
        with pytest.raises(SystemExit):
            command._options(words)


class _NotThere(contextlib.nullcontext[Relay]):
    """A peer that cannot be had."""

    def __init__(self, folder: pathlib.Path, mock_port: int) -> None:
        raise PeerMissing(f"no wheel in {folder} for {mock_port}")


def test_beside_a_peer(stage: Stage) -> None:
    """HAProxy and Baton in one round; who could not be started is named with the reason."""
    folder, (direct, _, own) = stage
    known: dict[str, peers.Start] = {"haproxy": peers.haproxy, "litellm": _NotThere}
    scenarios = (
        relay_bench.Scenario("closed", connections=4, seconds=0.1),
        relay_bench.Scenario("fixed", connections=4, seconds=0.2, rate=100.0),
        relay_bench.Scenario("stream", connections=2, seconds=0.1, stamps=100),
    )
    with contextlib.ExitStack() as stack:
        found, missing = peers.start(stack, list(known), folder, direct.port, known)
        runs = relay_bench.in_turns([own, *found], direct, scenarios, 1, folder, quick=True)
    summary = relay_bench.summary(runs)
    assert 0 == summary["bad_answers"]
    assert summary["closed"]["ratios"]["haproxy"]["median"] > 0
    facts = {**machine.facts(), "peers": peers.versions(["haproxy"])}
    page = report.relay_markdown({"machine": facts, "summary": summary, "unavailable": missing})
    assert f"- LiteLLM was not measured: no wheel in {folder} for {direct.port}\n" in page
    assert "; Baton ÷ HAProxy: " in page
    assert re.search(r", HAProxy \d+\.", page)


def test_a_peer_that_does_not_start(tmp_path: pathlib.Path) -> None:
    """Its last words are in the reason, and the others go on."""
    started = peers._started("litellm", ["sh", "-c", "echo no config"], 1, tmp_path)
    with pytest.raises(PeerMissing, match=r"never answered 200.*It printed: no config"), started:
        pass
