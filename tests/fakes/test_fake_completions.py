"""The fake is deterministic, resumable, and runs as a process of its own."""

import json
import subprocess
import sys
import urllib.request

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import word_model


@given(st.text(), st.integers(0, 3))
def test_tokens_join_to_the_text(text: str, count: int) -> None:
    """Encoding loses nothing; a text is a prompt in either form."""
    assert word_model.decode(word_model.encode(text)) == text


def test_a_continuation_from_any_token_is_the_same_text() -> None:
    """The next token depends on all text so far and on nothing else."""
    whole = word_model.generate("the river is", word_model.Sampling(60, 0.0))
    for cut in range(len(whole.pieces)):
        prompt = "the river is" + "".join(whole.pieces[:cut])
        rest = word_model.generate(prompt, word_model.Sampling(60 - cut, 0.0))
        assert rest.pieces == whole.pieces[cut:]
        assert rest.finish_reason == whole.finish_reason


def test_it_runs_as_a_process() -> None:
    """It prints its address, answers, tells what arrived, and takes faults over HTTP."""
    command = [sys.executable, "-m", "tests.fakes.fake_completions", "--dialect", "vllm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            body = {"model": "m", "prompt": "the", "max_tokens": 3}

            def post(path: str, content: object) -> bytes:
                data = json.dumps(content).encode()
                with urllib.request.urlopen(url + path, data, timeout=10) as answer:
                    return bytes(answer.read())

            assert json.loads(post("/v1/completions", body))["usage"]["prompt_tokens"] == 3
            post("/fault", {"status": 200, "body": "broken"})
            assert post("/v1/completions", body) == b"broken"
            with urllib.request.urlopen(url + "/seen", timeout=10) as answer:
                assert json.loads(answer.read()) == [body, body]
        finally:
            process.kill()
