"""`baton upstream`: added, shown without its key, removed."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator

import pytest

from baton.cli.opened import opened
from tests.cli.conftest import Cli
from tests.fakes.fake_completions import FakeCompletions
from tests.fakes.fake_ollama import FakeOllama
from tests.fakes.wire import Exchange, WireServer, whole
from tests.relaying import relaying

ADD = [
    "upstream",
    "add",
    "gpu",
    "--url",
    "http://127.0.0.1:9/v1/",
    "--model",
    "small=big",
    "--model",
    "same",
]


def stored_key(name: str) -> str | None:
    with opened() as store:
        return store.upstreams.get(name, secrets=True).secret


def test_added_upstream_is_listed_without_its_key(cli: Cli) -> None:
    """Names are mapped, the key is kept and never printed."""
    done = cli(*ADD, "--key", "sk-provider", "--field", "top_k", "--weight", "7")
    assert 0 == done.code
    listed = cli.ok("upstream", "list")[0]
    assert {"small": "big", "same": "same"} == listed["models"]
    assert ("http://127.0.0.1:9/v1/", ["top_k"], 7, True) == (
        listed["url"],
        listed["fields"],
        listed["weight"],
        listed["has_key"],
    )
    assert "sk-provider" == stored_key("gpu")
    everything = done.out + cli("upstream", "list").out + cli("upstream", "show", "gpu").out
    assert "small=big" in everything
    assert "sk-provider" not in everything


def test_key_comes_from_stdin_or_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it need not stand in the shell's history."""
    cli(*ADD, "--key", "-", stdin="sk-piped\n")
    assert "sk-piped" == stored_key("gpu")
    assert 0 == cli("upstream", "remove", "gpu").code
    monkeypatch.setenv("BATON_UPSTREAM_KEY", "sk-variable")
    cli(*ADD)
    assert "sk-variable" == stored_key("gpu")


def test_a_chats_models_are_told_how_to_continue(cli: Cli) -> None:
    """By the upstream's names, which may hold an equals sign; other dialects have no such thing."""
    chat = [*ADD, "--dialect", "openai-chat"]
    assert 0 == cli(*chat, "--continuation", "a=b=prefill", "--continuation", "*=instruct").code
    shown = cli.ok("upstream", "show", "gpu")
    assert {"a=b": "prefill", "*": "instruct"} == shown["continuation"]
    cli("upstream", "remove", "gpu")
    for way in ("big=oddly", "big"):
        assert 0 != cli(*chat, "--continuation", way).code
    assert 0 != cli(*ADD, "--continuation", "big=prefill").code
    assert 0 != cli(*ADD, "--fim", "big=gwen").code


def test_a_models_vocabulary_is_a_file(cli: Cli) -> None:
    """A GGUF by its name."""
    assert 0 != cli(*ADD, "--vocabulary", "big=notes.txt").code
    assert 0 == cli(*ADD, "--vocabulary", "big=qwen.gguf").code
    assert {"big": "qwen.gguf"} == cli.ok("upstream", "show", "gpu")["vocabularies"]


def test_without_a_key_there_is_none(cli: Cli) -> None:
    """A local server needs none."""
    cli(*ADD)
    assert stored_key("gpu") is None
    assert cli.ok("upstream", "show", "gpu")["has_key"] is False


def test_names_are_taken_once_and_removed_once(cli: Cli) -> None:
    """A second of the same name, and removing what is not there, fail."""
    assert [0, 1] == [cli(*ADD).code for _ in range(2)]
    assert [0, 1] == [cli("upstream", "remove", "gpu").code for _ in range(2)]
    assert 1 == cli("upstream", "show", "gpu").code


@pytest.mark.parametrize(
    "words",
    [
        "up/1 --url http://h/v1 --model a",
        "up --url h:80 --model a",
        "up --url ftp://h/v1 --model a",
        "up --url http://key@h/v1 --model a",
        "up --url http://h/v1#x --model a",
        "up --url http://h/v1 --model =a",
        "up --url http://h/v1 --model a --model a=b",
        "up --url http://h/v1 --model a --key schlüssel",
    ],
)
def test_what_cannot_work_is_refused(cli: Cli, words: str) -> None:
    """Names, addresses, models and keys are looked at before anything is stored."""
    assert 1 == cli("upstream", "add", *words.split()).code
    assert [] == cli.ok("upstream", "list")


def test_every_option(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and header values are stored, exported as variables, and never shown; applying the
    export changes nothing, here and elsewhere."""
    monkeypatch.setenv("SECOND", "sk-second-key-0000")
    monkeypatch.setenv("ORGANISATION", "org-secret-value")
    words = "--key sk-first-key-000000 --more-key SECOND --proxy http://127.0.0.1:3128"
    overriding = ["--force", 'options={"num_ctx":8192}', "--leave-out", "user", "--forbid", "seed"]
    header = ["--header", "X-Organisation: $ORGANISATION", "--header", "X-Plain: p"]
    place = ["--url", "http://127.0.0.1:11434", "--dialect", "ollama", "--model", "a=b"]
    added = cli("upstream", "add", "local", *place, *words.split(), *overriding, *header, "--json")
    assert added.code == 0, added.err
    shown = json.loads(added.out)
    assert (shown["more_secrets"], shown["headers"]) == (1, ["X-Organisation", "X-Plain"])
    assert shown["overrides"] == {
        "force": {"options": {"num_ctx": 8192}},
        "remove": ["user"],
        "forbid": ["seed"],
    }
    told = cli("export").out
    for said in (told, added.out, cli("upstream", "list", "--json").out):
        for secret in ("sk-first", "sk-second", "org-secret"):
            assert secret not in said
    assert 'X-Organisation = "$BATON_UPSTREAM_LOCAL_HEADER_X_ORGANISATION"' in told
    assert cli("apply", "-", stdin=told).out.endswith("0 changes.\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "http://169.254.169.254"],
        ["--url", "http://metadata.google.internal"],
        ["--url", "http://h", "--proxy", "http://169.254.1.1:80"],
        ["--url", "http://h", "--proxy", "https://h"],
        ["--url", "http://h", "--header", "Host: x"],
        ["--url", "http://h", "--force", "model=1"],
        ["--url", "http://127.0.0.1", "--public-only"],
    ],
)
def test_what_must_not_be_configured(cli: Cli, words: list[str]) -> None:
    """Metadata addresses and names, headers of Baton's own, fields that answers are read by."""
    refused = cli("upstream", "add", "x", "--model", "a", *words)
    assert refused.code != 0
    assert json.loads(cli("upstream", "list", "--json").out) == []


@contextlib.contextmanager
def served(fake: WireServer) -> Iterator[str]:
    """The fake on a loop of its own: commands run loops themselves."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(fake.start(), loop).result(5)
    try:
        yield fake.url
    finally:
        asyncio.run_coroutine_threadsafe(fake.stop(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def test_auto_and_test(cli: Cli) -> None:
    """The server's dialect is found and told; its row is printed; what it lacks is status 1."""
    fake = FakeOllama()
    with served(fake) as url:
        place = ["--url", url, "--dialect", "auto", "--model", "m"]
        added = cli("upstream", "add", "found", *place, "--json")
        assert json.loads(added.out)["dialect"] == "openai"
        assert "Dialect assumed: openai" in added.err
        asked = len(fake.requests)
        added = cli("upstream", "add", "far", *place, "--proxy", "http://127.0.0.1:9")
        assert (0, asked) == (added.code, len(fake.requests)), "past its proxy it is not asked"
        place[3] = "ollama"
        assert cli("upstream", "add", "local", *place).code == 0
        tested = cli("upstream", "test", "local", "--json")
        found = {each["capability"]: each["found"] for each in json.loads(tested.out)}
        assert (tested.code, found["completes"], found["suffix"]) == (0, "works", "works")
        assert cli("upstream", "test", "local", "--model", "x").code == 1
    with served(FakeCompletions("together")) as url:
        place = ["--url", url, "--dialect", "openai", "--model", "m"]
        assert cli("upstream", "add", "lacking", *place).code == 0
        lacking = cli("upstream", "test", "lacking")
        assert lacking.code == 1, lacking.out + lacking.err


def test_auto_asks_with_the_headers_that_it_is_given(cli: Cli) -> None:
    """A server behind a gateway that wants one says what it is; none goes out that cannot."""

    async def answer(exchange: Exchange) -> None:
        known = exchange.request.headers.get("x-gateway") == "open-sesame"
        mark, status = ("X-Baton-Upstream: x",), "404 Not Found"
        await exchange.send(
            whole(b"{}", *mark, status=status) if known else whole(b"{}", status="403 No")
        )

    fake = WireServer(answer)
    add = ["upstream", "add", "found", "--dialect", "auto", "--model", "m"]
    with served(fake) as url:
        wrong = cli(*add, "--url", url, "--header", "Host: elsewhere")
        assert (1, 0) == (wrong.code, len(fake.requests))
        assert "the header 'Host' is Baton's own" in wrong.err
        added = cli(*add, "--url", url, "--header", "x-gateway: open-sesame", "--json")
    assert ("baton", ["x-gateway"]) == (
        json.loads(added.out)["dialect"],
        json.loads(added.out)["headers"],
    )


def test_a_dialect_that_is_gone(cli: Cli) -> None:
    """It came with a package that is not installed any more: told in a sentence."""
    assert cli(*ADD).code == 0
    with opened() as store:
        store.upstreams.update("gpu", "test", dialect="gone")
    tested = cli("upstream", "test", "gpu")
    assert (tested.code, tested.out) == (1, "")
    assert "upstream gpu: there is no dialect 'gone'" in tested.err


def test_a_running_baton_tells_how_upstreams_fare(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the admin key of the settings or of the data folder; without an answer the fields are
    empty, and the list is there all the same."""
    cli.home.mkdir()
    with relaying(cli.home) as relay:
        admin = relay.key("admin", role="admin")
        assert 200 == relay.user.complete(prompt="a", stream=True).status
        monkeypatch.setenv("BATON_PORT", str(relay.port))
        assert cli.ok("upstream", "list")[0]["state"] is None
        (cli.home / "admin.key").write_text(f"{admin.key}\n")
        [listed] = cli.ok("upstream", "list")
        assert ("healthy", 0) == (listed["state"], listed["ejections"])
        assert listed["first_token_p50_ms"] > 0
        assert "healthy" in cli("upstream", "list").out
        monkeypatch.setenv("BATON_ADMIN_KEY", admin.key)
        assert "healthy" == cli.ok("upstream", "show", "fake")["state"]
    assert cli.ok("upstream", "list")[0]["state"] is None
