"""`baton complete`: text appears as it streams, and a cut stream is never taken for a whole one."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.fakes import file_server

MODELS = b'{"object":"list","data":[{"id":"first"},{"id":"second"}]}'


def stream(*texts: str, end: bool = True) -> bytes:
    """A completion stream of these pieces."""
    chunks = [json.dumps({"choices": [{"text": text, "index": 0}]}) for text in texts]
    return "".join(f"data: {c}\n\n" for c in [*chunks, *(["[DONE]"] if end else [])]).encode()


def complete(cli: Cli, answer: bytes, *words: str, stdin: str = "") -> tuple[int, str, str, object]:
    """Exit code, output, messages, and the fields that were posted."""
    with file_server.serving({"/v1/models": MODELS, "/v1/completions": answer}) as server:
        done = cli("complete", *words, "--url", server.url, "--key", "sk-1", stdin=stdin)
        posted = [json.loads(body) for _, body in server.posted]
    return *done, posted[0] if posted else None


def test_pieces_are_printed_in_order(cli: Cli) -> None:
    """The texts joined, and a line end; the first served model is asked."""
    code, out, err, sent = complete(cli, stream("Hel", "lo ", "é"), "Say")
    assert (0, "Hello é\n", "") == (code, out, err)
    expected = {"model": "first", "prompt": "Say", "stream": True, "max_tokens": 128}
    assert isinstance(sent, dict)
    assert expected == {name: sent[name] for name in expected}


def test_options_reach_the_request(cli: Cli) -> None:
    """Each option is a field; '-' takes the prompt from standard input."""
    words = ["-", "--model", "m", "--max-tokens", "5", "--temperature", "0", "--seed", "7"]
    words += ["--stop", "a", "--stop", "b", "--suffix", "end", "--echo"]
    code, _, _, sent = complete(cli, stream("x"), *words, stdin="from stdin")
    assert 0 == code
    assert {
        "model": "m",
        "prompt": "from stdin",
        "max_tokens": 5,
        "temperature": 0.0,
        "seed": 7,
        "stop": ["a", "b"],
        "suffix": "end",
        "echo": True,
        "stream": True,
    } == sent


def test_json_is_the_whole_answer(cli: Cli) -> None:
    """With --json nothing is streamed."""
    answer = {"id": "cmpl-1", "choices": [{"text": "x"}]}
    code, out, _, sent = complete(cli, json.dumps(answer).encode(), "Say", "--json")
    assert (0, answer) == (code, json.loads(out))
    assert isinstance(sent, dict)
    assert sent["stream"] is False


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (stream("Hel", end=False), "cut"),
        (stream("Hel", end=False) + b'data: {"error":{"message":"upstream lost"}}\n\n', "lost"),
        (stream("Hel", end=False) + b'data: {"choices":[{"te', "cut"),
        (stream("Hel", end=False) + b"data: {\n\n", "no completion"),
    ],
)
def test_unfinished_stream_fails(cli: Cli, answer: bytes, message: str) -> None:
    """What came is shown, and the exit code says that it is not whole."""
    code, out, err, _ = complete(cli, answer, "Say")
    assert (1, "Hel") == (code, out)
    assert message in err


def test_it_waits_longer_than_the_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long answer as a whole is no silence: the server ends it, and says why."""
    waited: list[float] = []

    def answered(*_: object) -> None:
        waited.append(float(str(_[-1])))
        raise KeyboardInterrupt

    monkeypatch.setattr("baton.cli.complete.answered", answered)
    monkeypatch.setenv("BATON_REQUEST_TIMEOUT_S", "900")
    assert 130 == cli("complete", "x", "--model", "m", "--json").code
    assert [960.0] == waited


def test_another_program_answers(cli: Cli) -> None:
    """A page in place of JSON: said so."""
    page = b"<html></html>"
    with file_server.serving({"/v1/models": page, "/v1/completions": page}) as server:
        listed = cli("complete", "x", "--url", server.url)
        asked = cli("complete", "x", "--url", server.url, "--model", "m", "--json")
    assert [1, 1] == [listed.code, asked.code]
    assert "is no Baton" in listed.err
    assert "is no Baton" in asked.err


def test_a_prompt_that_is_no_text(cli: Cli) -> None:
    """Bytes that are no UTF-8 cannot be asked, and that is told."""
    code, _, err, sent = complete(cli, stream("x"), "caf\udce9")
    assert (1, None) == (code, sent)
    assert "UTF-8" in err


def test_no_model_is_said(cli: Cli) -> None:
    """A Baton that serves nothing says what to do."""
    with file_server.serving({"/v1/models": b'{"data":[]}'}) as server:
        done = cli("complete", "x", "--url", server.url)
    assert (1, True) == (done.code, "add an upstream" in done.err)
