"""What is sent, and what Baton does around it."""

import msgspec
import pytest

from baton.errors import RequestError
from baton.protocol import CompletionRequest, FillLimits
from baton.routing.capabilities import fills
from baton.routing.work import ANY, NOTHING, Work, template_of, worked, wrapped_tokens
from baton.semantics.events import Call
from baton.semantics.fim import TEMPLATES
from baton.upstreams.base import Capabilities

POOR = Capabilities(logprobs=True, scored=True, seed=True, stop_max=2, bounded=True)
RICH = msgspec.structs.replace(POOR, prompt_arrays=True, n=True, n_max=4, echo=True)


def made(native: Capabilities, model: str = "m", **fields: object) -> tuple[Call, Work]:
    """Of a request with these fields on such an upstream."""
    request = CompletionRequest(**({"model": "m", "prompts": ["a"]} | fields))  # type: ignore[arg-type]
    taken = {n: v for n, v in fields.items() if n in Call.__struct_fields__}
    call = Call(**({"model": model, "prompts": ["a"], "max_tokens": 16} | taken))  # type: ignore[arg-type]
    needed = fills(request, native, model)
    return worked(request, call, needed, native, FillLimits(calls_max=100))


def test_a_plain_request_has_no_work() -> None:
    """Nor has one that the upstream takes whole."""
    call, work = made(POOR)
    assert (NOTHING, None, False, False) == (work, call.stop, call.echo, call.stream)
    assert NOTHING == made(RICH, prompts=["a", "b"], n=4, best_of=4, echo=True, stop=["x"])[1]


def test_a_call_has_as_much_as_the_upstream_takes() -> None:
    """One prompt, one sample; or arrays with up to n_max samples."""
    work = made(POOR, prompts=["a", "b"], n=3, best_of=3)[1]
    assert (1, 1, 8) == (work.prompts_max, work.samples_max, work.parallel_max)
    assert work.divided
    call, work = made(POOR, prompts=["a", "b"])
    assert (1, ANY, 8, 16) == (
        *(work.prompts_max, work.samples_max),
        *(work.parallel_max, call.max_tokens),
    )
    work = made(RICH, prompts=["a", "b"], n=5, best_of=5)[1]
    assert (ANY, 4) == (work.prompts_max, work.samples_max)


def test_too_many_calls_are_refused() -> None:
    """The refusal names what there is too much of."""
    for field, fields in (
        ("prompt", {"prompts": ["a"] * 51, "n": 2, "best_of": 2}),
        ("n", {"n": 101, "best_of": 101}),
    ):
        with pytest.raises(RequestError) as refused:
            made(POOR, **fields)
        assert field == refused.value.param


def test_best_of_is_asked_as_scored_samples() -> None:
    """Not streamed; where Baton cuts, it needs the logprobs to score what is left, and the stream
    to end early."""
    call, work = made(POOR, n=2, best_of=5, stream=True)
    assert (5, True, False, None) == (call.n, call.scored, call.stream, call.logprobs)
    assert (True, False) == (work.best, work.unscored)
    call, work = made(POOR, best_of=2, stop=["a", "b", "c"])
    assert (True, 0) == (call.stream, call.logprobs)
    assert work.unscored


def test_stops_beyond_the_upstreams_are_cut_here() -> None:
    """It is told those that it may end at; the call is streamed, to be ended early."""
    call, work = made(POOR, stop=["abc", "cab", "d", "e"])
    assert (["d", "e"], True) == (call.stop, call.stream)
    assert ("abc", "cab", "d", "e") == work.stops
    assert made(POOR, stop=["ab", "ba", "b"])[0].stop is None, "each could end inside another"
    call, work = made(POOR, stop=["a", "b"])
    assert (["a", "b"], False, ()) == (call.stop, call.stream, work.stops)


def test_no_tokens() -> None:
    """Nothing is asked where nothing is scored; else one token, which is dropped."""
    call, work = made(POOR, max_tokens=0, echo=True)
    assert work.alone
    assert work.echo
    assert not call.echo
    scoring = msgspec.structs.replace(RICH, prompt_logprobs=True)
    call, work = made(scoring, max_tokens=0, echo=True, logprobs=1)
    assert (1, True, 0, False) == (call.max_tokens, call.echo, work.tokens_max, work.alone)


def test_max_tokens_is_kept_for_who_does_not_vouch() -> None:
    """But not where nothing tells how long the echo is."""
    loose = msgspec.structs.replace(RICH, bounded=False, token_prompts=True)
    assert 7 == made(loose, max_tokens=7)[1].tokens_max
    assert made(loose, max_tokens=7, prompts=[[1]], echo=True)[1].tokens_max is None
    assert 7 == made(loose, max_tokens=7, prompts=[[1]])[1].tokens_max


def test_a_suffix_by_template_or_by_ranking() -> None:
    """The template's marks are stops; ranking asks for candidates of each choice."""
    told = msgspec.structs.replace(RICH, fim={"*": "qwen"}, stop_max=100)
    call, work = made(told, suffix="x", stop=["s"])
    assert ("qwen", False) == (work.template, work.ranked)
    assert ["s", *TEMPLATES["qwen"].marks] == call.stop
    scoring = msgspec.structs.replace(RICH, prompt_logprobs=True, n_max=8)
    call, work = made(scoring, suffix="x", n=2, best_of=2, stream=True)
    assert (8, True, False) == (call.n, work.ranked, call.stream)
    call, work = made(msgspec.structs.replace(POOR, prompt_logprobs=True, echo=True), suffix="x")
    assert (1, 1, True) == (work.prompts_max, work.samples_max, work.ranked)


def test_what_is_put_around_a_prompt_is_covered() -> None:
    """By a chat, by a template, or not at all."""
    told = msgspec.structs.replace(RICH, fim={"*": "codellama"})
    work = made(told, suffix="x")[1]
    assert len("<PRE>  <SUF> <MID>") == wrapped_tokens(told, work)
    assert 0 == wrapped_tokens(told, NOTHING)
    assert 9 == wrapped_tokens(msgspec.structs.replace(RICH, wrapping_tokens=9), NOTHING)
    assert 7 == wrapped_tokens(msgspec.structs.replace(RICH, within_tokens=7), NOTHING)


def test_the_operators_word_on_the_template_counts_first() -> None:
    """A model's name counts only where marks in a text become tokens."""
    special = msgspec.structs.replace(RICH, special_text=True)
    assert "starcoder" == template_of(special, "bigcode/starcoder2-3b")
    assert "" == template_of(RICH, "bigcode/starcoder2-3b")
    told = msgspec.structs.replace(special, fim={"*": "codellama", "small": "qwen"})
    assert "codellama" == template_of(told, "bigcode/starcoder2-3b")
    assert "qwen" == template_of(told, "small")


def test_a_suffix_may_have_to_go_alone() -> None:
    """With one prompt, and that as text, where an upstream takes it apart from all others."""
    both = msgspec.structs.replace(RICH, suffix=True, token_prompts=True, detokenizes=True)
    apart = msgspec.structs.replace(both, suffix_apart=True)
    for native, suffix, most in ((both, "x", ANY), (apart, "x", 1), (apart, None, ANY)):
        work = made(native, suffix=suffix, prompts=["a", "b"])[1]
        assert (most, False) == (work.prompts_max, work.detokenize)
        assert (most == 1) == made(native, suffix=suffix, prompts=[[1]])[1].detokenize


def test_ids_become_text_where_nothing_else_does() -> None:
    """Where they are taken and not to be shown they stay ids."""
    telling = msgspec.structs.replace(POOR, detokenizes=True)
    assert made(telling, prompts=[[1]])[1].detokenize
    taking = msgspec.structs.replace(telling, token_prompts=True)
    assert not made(taking, prompts=[[1], [2]])[1].detokenize
    assert made(taking, prompts=[[1]], echo=True)[1].detokenize
    assert made(taking, prompts=[[1]], echo=True)[1].ids_kept, "their text is for showing alone"
    assert not made(telling, prompts=[[1]], echo=True)[1].ids_kept


def test_a_vocabulary_reads_ids_and_counts() -> None:
    """Of the models that it is given for, whatever the dialect does."""
    given = msgspec.structs.replace(POOR, vocabularies=frozenset({"big"}))
    work = made(given, "big", prompts=[[1]])[1]
    assert (True, True) == (work.detokenize, work.counted)
    assert not made(given, "small")[1].counted
    with pytest.raises(RequestError):
        made(given, "small", prompts=[[1]])
    anyone = msgspec.structs.replace(POOR, vocabularies=frozenset({"*"}))
    assert made(anyone, "small", prompts=[[1]])[1].detokenize


def test_a_server_that_cannot_stream_is_not_asked_to() -> None:
    """Its whole answer is the stream."""
    call, work = made(msgspec.structs.replace(POOR, streams=False), stream=True)
    assert (False, NOTHING) == (call.stream, work)
