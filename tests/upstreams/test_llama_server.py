"""What the llama-server dialect sends, and how it gets usage that can be trusted."""

import json
from typing import Any

import msgspec
import pytest
import uvloop

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Logprobs, Usage, UsageReported
from baton.upstreams.base import UpstreamError
from baton.upstreams.llama_server import LlamaServerAdapter
from tests.fakes import word_model
from tests.fakes.fake_local import FakeLlamaServer
from tests.upstreams.talking import decoded, events_of, finish_of, modelled, talking, text_of

INFILL = Call(model="m", prompts=["def f("], max_tokens=6, suffix="return", stream=True)


def sent(call: Call) -> Any:
    return json.loads(LlamaServerAdapter().request(call).body)


def test_neutral_sampling_is_always_sent() -> None:
    """Its own defaults are temperature 0.8, top_k 40 and min_p 0.05."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=16)) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 16,
        "top_k": 0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_penalty": 1.0,
        "temperature": 1.0,
        "top_p": 1.0,
        "samplers": ["penalties", "temperature", "top_p"],
        "stream": True,
    }


def test_it_is_always_streamed_from() -> None:
    """Its whole answers miscount several choices and may end in half a character."""
    adapter = LlamaServerAdapter()
    for call in (
        Call(model="m", prompts=["p"], max_tokens=1),
        Call(model="m", prompts=["p"], max_tokens=1, suffix="s"),
        Call(model="m", prompts=["p", "q"], max_tokens=1),
        Call(model="m", prompts=["p"], max_tokens=1, n=2),
    ):
        assert sent(call)["stream"] is True
        assert "stream_options" not in sent(call)
        assert adapter.decoder(call).media_type == b"text/event-stream"


def test_logprobs_0_asks_for_1() -> None:
    """It answers null to 0; the alternative that is too many is dropped again."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=1, logprobs=0))["logprobs"] == 1


def test_what_it_swallows_is_not_native() -> None:
    """echo and best_of are accepted by it and ignored; max_tokens 0 generates."""
    found = LlamaServerAdapter.capabilities
    assert (found.echo, found.best_of, found.max_tokens_zero) == (False, False, False)


def test_penalties_reach_as_far_as_the_answer() -> None:
    """Its own window are 64 tokens, of the prompt's end, too: a longer answer repeated itself."""
    call = Call(model="m", prompts=["p"], max_tokens=200)
    assert "repeat_last_n" not in sent(call)
    for penalised in (
        msgspec.structs.replace(call, presence_penalty=0.5),
        msgspec.structs.replace(call, frequency_penalty=-0.5),
    ):
        assert sent(penalised)["repeat_last_n"] == 200


def test_a_seed_is_never_random() -> None:
    """Its word for "any" is the greatest number of 32 bits, or -1."""
    for seed in (-1, 2**32 - 1, 2**63 - 1):
        given = sent(Call(model="m", prompts=["p"], max_tokens=1, seed=seed))["seed"]
        assert 0 <= given < 2**32 - 1


def test_a_suffix_goes_to_infill() -> None:
    """Its own names, and the same sampling."""
    call = Call(
        model="m", prompts=["a"], max_tokens=3, suffix="z", logprobs=0, user="u", stop=["x"]
    )
    assert LlamaServerAdapter().request(call).path == "/infill"
    assert sent(call) == {
        "model": "m",
        "input_prefix": "a",
        "input_suffix": "z",
        "input_extra": [],
        "n_predict": 3,
        "n_probs": 1,
        "stop": ["x"],
        "top_k": 0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_penalty": 1.0,
        "temperature": 1.0,
        "top_p": 1.0,
        "samplers": ["penalties", "temperature", "top_p"],
        "stream": True,
    }


def test_token_prompts_have_no_suffix() -> None:
    """/infill takes text."""
    with pytest.raises(RequestError) as caught:
        sent(Call(model="m", prompts=[[1, 2]], max_tokens=1, suffix="z"))
    assert caught.value.param == "suffix"


@pytest.mark.parametrize("stream", [True, False])
def test_infill(stream: bool) -> None:
    """Against the fake: the model saw both texts at their marks; usage with cached tokens."""

    async def scenario() -> None:
        async with talking(FakeLlamaServer(), "/v1") as upstream:
            call = Call(
                model="m", prompts=["the"], max_tokens=6, suffix="a", stream=stream, logprobs=1
            )
            events = await events_of(upstream, call)
            prompt = "<|fim_prefix|>the<|fim_suffix|>a<|fim_middle|>"
            expected = modelled(prompt, 6)
            assert text_of(events) == "".join(expected.pieces)
            assert finish_of(events) == [expected.finish_reason]
            [usage] = [event.usage for event in events if isinstance(event, UsageReported)]
            assert usage.completion_tokens == expected.counted
            assert usage.cached_tokens == usage.prompt_tokens // 2
            scored = [event.logprobs for event in events if isinstance(event, Delta)]
            assert any(scored)

    uvloop.run(scenario())


def test_a_model_without_the_tokens_is_a_400() -> None:
    """Its 501 is about the field, not about the server."""

    async def scenario() -> None:
        async with talking(FakeLlamaServer(fim=False)) as upstream:
            with pytest.raises(RequestError) as caught:
                await events_of(upstream, INFILL)
            assert (caught.value.status, caught.value.param) == (400, "suffix")

    uvloop.run(scenario())


def test_what_was_cut_in_silence_fails() -> None:
    """The prompt that it computed is shorter than what was sent."""

    async def scenario() -> None:
        async with talking(FakeLlamaServer(cuts=True)) as upstream:
            long = Call(
                model="m", prompts=["def " * 30], max_tokens=2, suffix="return", stream=True
            )
            with pytest.raises(UpstreamError) as caught:
                await events_of(upstream, long)
            assert caught.value.detail == "the upstream cut prompt or suffix"

    uvloop.run(scenario())


def test_recorded_infill() -> None:
    """A real server's events (xllamacpp 2026.10, fields that nobody reads left out)."""
    recorded = (
        b'data: {"index":0,"content":"q","tokens":[34],"stop":false,"id_slot":-1,'
        b'"tokens_predicted":1,"tokens_evaluated":17}\n\n'
        b'data: {"index":0,"content":"","tokens":[],"id_slot":1,"stop":true,"model":"t.gguf",'
        b'"tokens_predicted":1,"tokens_evaluated":17,"generation_settings":{"seed":4294967295},'
        b'"prompt":"<|fim_prefix|>def f(<|fim_suffix|>return 1<|fim_middle|>",'
        b'"has_new_line":false,"truncated":false,"stop_type":"limit","stopping_word":"",'
        b'"tokens_cached":17,"timings":{"cache_n":4,"prompt_n":13,"prompt_ms":0.948}}\n\n'
    )
    expected = [Delta(0, "q"), Delta(0, "", "length"), UsageReported(Usage(17, 1, cached_tokens=4))]
    for size in (1, 5, len(recorded)):
        pieces = [recorded[at : at + size] for at in range(0, len(recorded), size)]
        assert decoded(LlamaServerAdapter(), INFILL, pieces) == expected


def test_nonsense_of_infill() -> None:
    """Error events, other endings, impossible counts."""
    for data, wrong in (
        ('{"error":{"code":500}}', "status: an error event"),
        ('{"stop":true,"stop_type":"none"}', "status: the upstream gave up on a choice"),
        ("5", "protocol: an answer of another shape"),
    ):
        assert decoded(LlamaServerAdapter(), INFILL, [f"data: {data}\n\n".encode()]) == wrong
    end = {"stop": True, "stop_type": "eos", "prompt": "x" * 40, "tokens_evaluated": 5}
    for told in (-1, 2**63, 2**200, 1.5, "5", True, [1]):
        piece = f"data: {json.dumps({**end, 'tokens_predicted': told})}\n\n".encode()
        assert decoded(LlamaServerAdapter(), INFILL, [piece]) == [Delta(0, "", "stop")]
    for timings in (5, {"cache_n": 6}, {"cache_n": "2"}, None):
        odd = {**end, "tokens_predicted": 1, "timings": timings}
        piece = f"data: {json.dumps(odd)}\n\n".encode()
        expected = [Delta(0, "", "stop"), UsageReported(Usage(5, 1))]
        assert decoded(LlamaServerAdapter(), INFILL, [piece]) == expected


def test_the_text_of_ids() -> None:
    """Ids are told by /detokenize; another shape is no text."""
    adapter = LlamaServerAdapter()
    request = adapter.detokenization("m", [1, 2])
    assert ("/detokenize", b'{"model":"m","tokens":[1,2]}') == (request.path, request.body)
    assert "a b" == adapter.detokenized(b'{"content":"a b"}')
    for body in (b"{}", b"[]", b'{"content":5}', b"\xff"):
        with pytest.raises(UpstreamError):
            adapter.detokenized(body)


def test_a_router_is_told_the_model() -> None:
    """A server of several models asks for it everywhere; not to have it is no fault of callers."""

    async def scenario() -> None:
        async with talking(FakeLlamaServer(models=("m",))) as upstream:
            assert "the river" == await upstream.detokenize("m", word_model.encode("the river"))
            call = Call(model="m", prompts=["the"], max_tokens=2)
            text = "".join(modelled("the", 2).pieces)
            assert text == text_of(await events_of(upstream, call))
            for other in (msgspec.structs.replace(call, suffix="a"), call):
                with pytest.raises(UpstreamError) as caught:
                    await events_of(upstream, msgspec.structs.replace(other, model="gone"))
                assert (caught.value.kind, caught.value.retryable) == ("status", True)

    uvloop.run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        "model 'm' not found",
        "model name is missing from the request",
        "model is not loaded",
    ],
)
def test_what_a_router_lacks_is_the_operators_business(message: str) -> None:
    """Its status is the 400 of a caller's fault (llama-server of 2026-10)."""
    body = {"error": {"code": 400, "message": message, "type": "invalid_request_error"}}
    found = LlamaServerAdapter().error(400, json.dumps(body).encode(), None)
    assert isinstance(found, UpstreamError)
    assert found.retryable
    other = {"error": {**body["error"], "message": f"grammar: {message}"}}
    assert isinstance(
        LlamaServerAdapter().error(400, json.dumps(other).encode(), None), RequestError
    )


def test_a_router_whose_model_died() -> None:
    """It puts a line of words behind the events, and ends the answer in order: no whole one."""
    call = Call(model="m", prompts=["p"], max_tokens=9, stream=True)
    recorded = (
        b'data: {"choices":[{"text":" a","index":0,"logprobs":null,"finish_reason":null}]}\n\n'
        b"proxy error: Failed to read connection"
    )
    expected = "protocol: ended before every choice had finished"
    assert expected == decoded(LlamaServerAdapter(), call, [recorded])


def test_half_characters_are_named_by_their_bytes() -> None:
    """Of a character of several tokens it tells the last one's logprob alone, with the text of all
    of them; the alternatives are told apart by their bytes (recorded, xllamacpp 2026.10)."""
    call = Call(model="m", prompts=["日"], max_tokens=2, logprobs=2)
    recorded = (
        'data: {"choices":[{"text":"ア","index":0,"logprobs":{"content":[{"id":112,"token":"ア",'
        '"bytes":[227,130,162],"logprob":-1.5,"top_logprobs":[{"id":112,"token":"\ufffd",'
        '"bytes":[162],"logprob":-1.5},{"id":130,"token":"\ufffd","bytes":[181],"logprob":-2.0}'
        ']}]},"finish_reason":null}]}\n\n'
        'data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}]}\n\n'
        "data: [DONE]\n\n"
    )
    found = decoded(LlamaServerAdapter(), call, [recorded.encode()])
    first = found[0]
    assert isinstance(first, Delta)
    half = r"bytes:\xa2"
    expected = Logprobs([half], [-1.5], [{half: -1.5, r"bytes:\xb5": -2.0}], [1])
    assert (first.text, first.logprobs) == ("ア", expected)


def test_samplers_that_are_asked_for_join_the_chain() -> None:
    """In its own order of the rest; one that is not in the chain would be swallowed."""
    call = Call(model="m", prompts=["p"], max_tokens=1, extra={"top_k": 5, "ignore_eos": True})
    assert ["penalties", "temperature", "top_k", "top_p"] == sent(call)["samplers"]
    assert (5, True) == (sent(call)["top_k"], sent(call)["ignore_eos"])
    penalised = Call(model="m", prompts=["p"], max_tokens=1, extra={"repetition_penalty": 1.5})
    assert 1.5 == sent(penalised)["repeat_penalty"]
    assert "repetition_penalty" not in sent(penalised)
