"""From request to calls."""

import msgspec
import pytest

from baton.errors import RequestError
from baton.protocol import CompletionRequest, FillLimits
from baton.routing.plan import Plan, Terms, plan
from baton.routing.routes import Routes
from baton.stores.base import UpstreamRecord
from baton.upstreams.base import Capabilities

ALL = Capabilities(n=True, echo=True, suffix=True, scored=True, prompt_logprobs=True, logprobs=True)
TERMS = Terms(tenant="key_1")
LIMITS = FillLimits()


def planned(request: CompletionRequest, native: Capabilities, terms: Terms = TERMS) -> Plan:
    upstream = UpstreamRecord(name="u", url="http://x", dialect="openai", models={"m": "theirs"})
    routes = Routes([upstream], None)
    return plan(request, terms, routes, {"u": native}, seed=1, limits=LIMITS)


def test_a_call_says_what_the_request_says() -> None:
    """Every field goes along; the model is the upstream's, the tenant the caller's."""
    request = CompletionRequest(
        model="m",
        prompts=["a"],
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        logit_bias={1: 2.0},
        stop=["x"],
        logprobs=3,
        echo=True,
        seed=7,
        user="u",
        stream=True,
    )
    made = planned(
        request, msgspec.structs.replace(ALL, penalties=True, logit_bias=True, seed=True)
    )
    call = made.attempts[0].call
    assert ("theirs", "key_1") == (call.model, call.tenant)
    for field in set(request.__struct_fields__) & set(call.__struct_fields__) - {"model"}:
        assert getattr(request, field) == getattr(call, field), field
    assert () == made.attempts[0].fills


@pytest.mark.parametrize("stop", [None, ["x", "y"], ["x", "y", "z"]])
@pytest.mark.parametrize("terms", [TERMS, Terms("k", deterministic=True, parse_special=False)])
def test_a_plain_request_is_planned_as_any_other(stop: list[str] | None, terms: Terms) -> None:
    """Though nothing is compared for it: on the same terms, with stops cut where they are more than
    the upstream takes, and refused where its caller is strict."""
    able = msgspec.structs.replace(ALL, bounded=True, stop_max=2, within_tokens=7)
    slow = msgspec.structs.replace(able)
    msgspec.structs.force_setattr(slow, "plain", False)
    request = CompletionRequest(
        model="m", prompts=["a"], max_tokens=5, temperature=0.5, top_p=0.9, stop=stop, stream=True
    )
    assert (True, True) == (able.plain, request.plain)
    made, many = planned(request, able, terms), stop is not None and len(stop) > 2
    assert planned(request, slow, terms) == made
    [attempt] = made.attempts
    assert many == (attempt.work is not None)
    assert terms == Terms(
        attempt.call.tenant,
        deterministic=attempt.call.deterministic,
        parse_special=attempt.call.parse_special,
    )
    strict = msgspec.structs.replace(terms, strict=True)
    if many:
        with pytest.raises(RequestError):
            planned(request, able, strict)
    else:
        assert planned(request, slow, strict) == planned(request, able, strict)
        assert planned(request, able, strict).attempts[0].call.strict


@pytest.mark.parametrize("bounded", [True, False])
def test_best_of_asks_for_scored_samples(bounded: bool) -> None:
    """Candidates are samples of one call that is not streamed."""
    native = msgspec.structs.replace(ALL, bounded=bounded)
    made = planned(CompletionRequest(model="m", prompts=["a"], n=2, best_of=5), native)
    call = made.attempts[0].call
    assert (5, True, False) == (call.n, call.scored, call.stream)
    assert 5 == made.candidates_max


@pytest.mark.parametrize("bounded", [True, False])
def test_what_is_filled_is_work(bounded: bool) -> None:
    """Whether the upstream is trusted with the tokens or not."""
    native = msgspec.structs.replace(ALL, echo=False, prompt_logprobs=False, bounded=bounded)
    [attempt] = planned(CompletionRequest(model="m", prompts=["a"], echo=True), native).attempts
    assert attempt.work is not None
    assert (("echo",), True, False) == (attempt.fills, attempt.work.echo, attempt.call.echo)


def test_a_ranked_suffix_asks_for_candidates() -> None:
    """n choices of four candidates each; the hold must cover them all."""
    native = msgspec.structs.replace(ALL, suffix=False)
    made = planned(CompletionRequest(model="m", prompts=["a"], n=2, best_of=2, suffix="b"), native)
    assert ("suffix",) == made.attempts[0].fills
    assert 8 == made.candidates_max


def test_the_hold_covers_whoever_asks_for_most() -> None:
    """One upstream takes the suffix, one has its candidates ranked."""
    able = {"one": ALL, "two": msgspec.structs.replace(ALL, suffix=False), "three": ALL}
    records = [
        UpstreamRecord(name=name, url="http://x", dialect="openai", models={"m": "t"})
        for name in able
    ]
    request = CompletionRequest(model="m", prompts=["a"], n=2, best_of=2, suffix="b")
    made = plan(request, TERMS, Routes(records, None), able, seed=1, limits=LIMITS)
    assert [2, 8, 2] == [attempt.call.n for attempt in made.attempts]
    assert 8 == made.candidates_max


def test_another_baton_may_fill_in_what_it_bills() -> None:
    """The hold covers its candidates for a suffix, and what it may put around a prompt, plain or
    not; it is asked for none of that."""
    native = msgspec.structs.replace(ALL, bounded=True, within_tokens=7, best_of=True)
    asked = CompletionRequest(model="m", prompts=["a"], n=2, best_of=2, suffix="b", max_tokens=5)
    made = planned(asked, native)
    assert (2, 8, 7) == (made.attempts[0].call.n, made.candidates_max, made.wrapping_tokens)
    assert 40 == made.attempts[0].call.completion_tokens_max
    plain = planned(CompletionRequest(model="m", prompts=["a"]), native)
    assert ((), 1, 7) == (plain.attempts[0].fills, plain.candidates_max, plain.wrapping_tokens)
    filled = msgspec.structs.replace(native, echo=False, prompt_logprobs=False)
    assert (
        7 == planned(CompletionRequest(model="m", prompts=["a"], echo=True), filled).wrapping_tokens
    )


def test_a_vocabulary_goes_with_every_request() -> None:
    """To count and to cut, which is no fill; a plain upstream is relayed as it is."""
    request = CompletionRequest(model="m", prompts=["a"], presence_penalty=0.5)
    for plain in (True, False):
        asked = request if not plain else CompletionRequest(model="m", prompts=["a"])
        able = msgspec.structs.replace(ALL, bounded=True, penalties=True)
        assert planned(asked, able).attempts[0].work is None
        given = msgspec.structs.replace(able, vocabularies=frozenset({"theirs"}))
        [attempt] = planned(asked, given).attempts
        assert attempt.work is not None
        assert (True, ()) == (attempt.work.counted, attempt.fills)


def test_strict_callers_get_no_fills() -> None:
    """What would be filled is a 400 that names the field."""
    native = msgspec.structs.replace(ALL, echo=False, prompt_logprobs=False)
    request = CompletionRequest(model="m", prompts=["a"], echo=True)
    assert ("echo",) == planned(request, native).attempts[0].fills
    with pytest.raises(RequestError) as refused:
        planned(request, native, Terms(tenant="k", strict=True))
    assert ("echo", "unsupported_parameter") == (refused.value.param, refused.value.code)


def test_an_unknown_model_is_a_404() -> None:
    """Nobody has it."""
    with pytest.raises(RequestError) as refused:
        planned(CompletionRequest(model="other", prompts=["a"]), ALL)
    assert (404, "model_not_found") == (refused.value.status, refused.value.code)


def test_candidates_that_cannot_are_passed_over() -> None:
    """The plan keeps those that can; with none left the first refusal speaks."""
    records = [
        UpstreamRecord(name=name, url="http://x", dialect="openai", models={"m": "t"}, priority=i)
        for i, name in enumerate(("poor", "rich"))
    ]
    routes = Routes(records, None)
    native = {"poor": Capabilities(), "rich": ALL}
    request = CompletionRequest(model="m", prompts=["a"], logprobs=3)
    made = plan(request, TERMS, routes, native, seed=0, limits=LIMITS)
    assert ["rich"] == [attempt.upstream for attempt in made.attempts]
    with pytest.raises(RequestError) as refused:
        plan(
            request,
            TERMS,
            routes,
            dict.fromkeys(native, Capabilities()),
            seed=0,
            limits=LIMITS,
        )
    assert "logprobs" == refused.value.param


def extra(taken: dict[str, tuple[str, ...]], *, strict: bool = False) -> Plan:
    """A request with top_k and min_p, on upstreams that take these fields."""
    records = [
        UpstreamRecord(name=name, url="http://x", dialect="vllm", models={"m": "t"})
        for name in taken
    ]
    native = {n: msgspec.structs.replace(ALL, fields=frozenset(f)) for n, f in taken.items()}
    request = CompletionRequest(model="m", prompts=["a"], extra={"top_k": 5, "min_p": 0.5})
    terms = Terms(tenant="k", strict=strict)
    return plan(request, terms, Routes(records, None), native, seed=0, limits=LIMITS)


def test_fields_of_one_engine_go_to_who_takes_them() -> None:
    """What is not taken is told; nobody is asked who ignores more than another."""
    [attempt] = extra({"none": (), "one": ("top_k",)}).attempts
    assert ("one", {"top_k": 5}, ("min_p",)) == (
        attempt.upstream,
        attempt.call.extra,
        attempt.ignored,
    )
    nobody = extra({"a": (), "b": ()}).attempts
    assert [(None, ("min_p", "top_k"))] * 2 == [(a.call.extra, a.ignored) for a in nobody]


def test_a_strict_caller_has_none_ignored() -> None:
    """A 400 where today nobody takes the field."""
    assert () == extra({"all": ("top_k", "min_p")}, strict=True).attempts[0].ignored
    with pytest.raises(RequestError) as refused:
        extra({"one": ("top_k",)}, strict=True)
    assert ("min_p", "unknown_parameter") == (refused.value.param, refused.value.code)
