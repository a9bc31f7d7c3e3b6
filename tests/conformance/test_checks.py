"""The checks themselves: each passes a right answer and finds a planted fault.

A scripted endpoint stands in for the server: it answers from a list, so that a check that asks
again gets what the case plants.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.asking import Answer, Endpoint
from tests.conformance.cases import Case, Exchange, Expected, Request
from tests.conformance.checks import registry, run_check
from tests.conformance.expecting import CheckFailed

HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
DETAILS = {
    "prompt_tokens_details": {
        "cached_tokens": 0, "text_tokens": 2, "audio_tokens": 0, "image_tokens": 0,
    },
    "completion_tokens_details": {"text_tokens": 3, "audio_tokens": 0, "reasoning_tokens": 0},
}  # fmt: skip
PROMPT = "ab"


@dataclasses.dataclass(frozen=True)
class Script(Endpoint):
    """An endpoint that answers from a list instead of asking anybody."""

    answers: list[Answer] = dataclasses.field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        return self.answers.pop(0)


def usage(prompt: int = 2, completion: int = 3, **more: object) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {**counts, "total_tokens": prompt + completion, **DETAILS, **more}


def reply(body: object, status: int = 200, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {"content-type": "application/json", **fields}, raw)


def choice(index: int = 0, text: str = " cde", finish: str | None = "stop", lp: Any = None) -> Any:
    return {"text": text, "index": index, "logprobs": lp, "finish_reason": finish}


def whole(*choices: Any, **fields: Any) -> Answer:
    return reply({**HEAD, "choices": list(choices or (choice(),)), "usage": usage(), **fields})


def texts(*said: str) -> Answer:
    return whole(*(choice(index, text) for index, text in enumerate(said)))


def stream(*chunks: Any, end: str = "data: [DONE]\n\n", **headers: str) -> Answer:
    lines = "".join(f"data: {json.dumps({**HEAD, **chunk})}\n\n" for chunk in chunks)
    return Answer(200, {"content-type": "text/event-stream", **headers}, (lines + end).encode())


def chunk(index: int = 0, text: str = "x", finish: str | None = None, **fields: Any) -> Any:
    return {"choices": [choice(index, text, finish)], **fields}


def logprobs(
    tokens: list[str], values: list[float | None], offset: int = 0, extra: Any = None
) -> dict[str, Any]:
    offsets = [offset + len("".join(tokens[:place])) for place in range(len(tokens))]
    top = [
        None if value is None else {token: value, **(extra or {})}
        for token, value in zip(tokens, values, strict=True)
    ]
    lists = {"tokens": tokens, "token_logprobs": values, "top_logprobs": top}
    return {**lists, "text_offset": offsets}


def scored(*args: Any, text: str = " cde", **kwargs: Any) -> Answer:
    return whole(choice(text=text, lp=logprobs(*args, **kwargs)))


def error(message: str = "wrong", code: Any = "c", **fields: Any) -> Answer:
    body = {"message": message, "type": "t", "param": None, "code": code, **fields}
    return reply({"error": body}, 400)


GREEDY = logprobs([" c", "de"], [-0.1, -0.2], offset=2)
BROKEN_LISTS = {**GREEDY, "text_offset": [2]}
ECHO = logprobs(["a", "b", " c"], [None, -1.0, -0.5])
DONE_CHUNK = {"choices": [], "usage": usage()}

Row = tuple[str, list[Any], list[Answer], list[Answer]]
"""Check, its arguments, answers that pass (the first is the case's own), answers that fail."""

WHOLE: list[Row] = [
    ("object", [], [whole()], [whole(object="chat.completion")]),
    ("object_if_200", [], [error()], [whole(created=1.5)]),
    ("choices", [2], [texts("a", "b")], [texts("a")]),
    ("finish_in", [["length"]], [whole(choice(finish="length"))], [whole()]),
    ("completion_tokens_le", [3], [whole()], [whole(usage=usage(2, 4))]),
    ("completion_tokens_eq", [3], [whole()], [whole(usage=usage(2, 2))]),
    ("completion_tokens_gt_choice", [1], [whole()], [whole(usage=usage(2, 2))]),
    ("length_means_max", ["3"], [whole()], [whole(choice(finish="length"), usage=usage(2, 2))]),
    ("choice_key_null", ["logprobs"], [whole()], [whole(choice(lp={}))]),
    ("id_prefix", ["cmpl-"], [whole()], [whole(id="chatcmpl-1")]),
    ("fresh_id", [], [whole(), whole(id="cmpl-2")], [whole(), whole()]),
    ("created_now", [], [], [whole()]),
    ("model_echo", [], [whole()], [whole(model="other")]),
    ("usage_sum", [], [whole()], [whole(usage=usage(total_tokens=9))]),
    ("cached_tokens_int", [], [whole()], [whole(usage=usage(prompt_tokens_details=None))]),
    ("completion_details", [], [whole()], [whole(usage=usage(completion_tokens_details={}))]),
    ("details_whole", [], [whole()], [whole(usage=usage(1, 3))]),
    ("same_text_as", [{}], [whole(), whole()], [whole(), texts("x")]),
    ("other_text_than", [{}], [whole(), texts("x")], [whole(), whole()]),
    ("same_usage_as", [{}], [whole(), whole()], [whole(), whole(usage=usage(3))]),
    ("text_starts", [["a", "b"]], [texts("ax", "bx")], [texts("ax", "ax")]),
    ("text_lacks", ["q"], [whole()], [texts("aqa")]),
    ("text_eq", [" cde"], [whole()], [texts(" cde ")]),
    ("texts_differ", [], [texts("a", "b")], [texts("a", "a")]),
    ("texts_agree", [], [texts("a", "a")], [texts("a", "b")]),
    ("not_empty_if_200", [], [whole()], [whole(choice(text=""), usage=usage(2, 0))]),
    ("echo_is_prompt_and_text", [], [texts("abx"), texts("x")], [texts("abx"), texts("y")]),
    ("usage_is_sum_of", [[{}]], [whole(), whole()], [whole(), whole(usage=usage(1))]),
    ("prompt_tokens_eq", [2], [whole()], [whole(usage=usage(3))]),
    ("prompt_tokens_gt", [{}], [whole(), whole(usage=usage(1))], [whole(), whole()]),
    ("n_usage", [3], [whole(), whole(usage=usage(2, 1))], [whole(), whole()]),
    ("token_prompt_agrees", [], [whole(), reply({"tokens": [1, 2]}), whole(), whole()],
     [whole(), reply({"tokens": [1]}), whole(), whole()]),
    ("bias_bans_top", [], [texts("a"), reply({"tokens": [1]}), texts("b")],
     [texts("a"), reply({"tokens": [1]}), texts("a")]),
    ("bias_forces", ["x"], [whole(), reply({"tokens": [1]}), texts("xxx")],
     [whole(), reply({"tokens": [1]}), texts("xxy")]),
    ("suffix_not_ignored", [], [whole(), whole(usage=usage(1))], [whole(), whole()]),
    ("same_as_path", ["/m/$MODEL/v1"], [whole(), whole()], [whole(), error()]),
]  # fmt: skip

LOGPROBS: list[Row] = [
    ("lp", [0], [whole(choice(lp=GREEDY))], [scored(["a"], [0.5])]),
    ("lp", [0], [whole(choice(lp=GREEDY))], [scored(["a"], [-1], extra={"b": -2, "c": -3})]),
    ("lp", [0], [whole(choice(lp=GREEDY))], [whole(choice(lp=BROKEN_LISTS))]),
    ("lp_top_exact", [1], [whole(choice(lp=GREEDY))], [scored(["a"], [-1], extra={"b": -2})]),
    ("lp_top_exact", [2], [scored(["a"], [-1], extra={"b": -2})],
     [scored(["a"], [-3], extra={"b": -2})]),
    ("lp_join", [], [whole(choice(lp=GREEDY))], [scored([" c"], [-1])]),
    ("lp_offset_prompt", [], [whole(choice(lp=GREEDY))], [scored([" c", "de"], [-1, -1])]),
    ("lp_offset_echo", [], [whole(choice(lp=ECHO))], [whole(choice(lp=GREEDY))]),
    ("lp_echo", [], [whole(choice(lp=ECHO))], [whole(choice(lp=GREEDY))]),
    ("lp_len_prompt", [], [scored(["a", "b"], [None, -1])], [whole(choice(lp=ECHO))]),
    ("lp_len_prompt_plus1", [], [whole(choice(lp=ECHO))], [scored(["a", "b"], [None, -1])]),
    ("lp_greedy_exact", [], [whole(choice(lp=GREEDY))], [scored(["a"], [-1], extra={"b": -0.9})]),
    ("lp_as_alone", [], [whole(choice(lp=GREEDY)), whole(choice(lp=GREEDY))],
     [whole(choice(lp=GREEDY)), scored([" c", "de"], [-0.1, -0.20001], offset=2)]),
    ("lp_repeats", [], [whole(choice(lp=GREEDY)), whole(choice(lp=GREEDY))],
     [whole(choice(lp=GREEDY)), whole(choice(lp=ECHO))]),
    ("lp_sums_to_one", [], [whole(choice(lp=GREEDY))], [scored(["a"], [-0.1], extra={"b": -0.2})]),
    ("lp_none", [], [whole()], [whole(choice(lp=GREEDY))]),
]  # fmt: skip

STREAMS: list[Row] = [
    ("sse", [], [stream(chunk())], [stream(chunk(), end="data: [DONE]")]),
    ("sse", [], [stream(chunk())], [stream(chunk(), end="")]),
    ("stream_plain", [], [stream(chunk())], [stream(chunk(), end=": ping\n\ndata: [DONE]\n\n")]),
    ("stream_text_matches", [], [stream(chunk(text=" c"), chunk(text="de")), whole()],
     [stream(chunk(text=" c")), whole()]),
    ("stream_finish_matches", [], [stream(chunk(finish="stop")), whole()],
     [stream(chunk(finish="length")), whole()]),
    ("stream_text_lacks", ["xy"], [stream(chunk())], [stream(chunk(), chunk(text="y"))]),
    ("stream_starts", [["x"]], [stream(chunk())], [stream(chunk(text="y"))]),
    ("stream_constant", [], [stream(chunk())], [stream(chunk(), chunk(id="cmpl-2"))]),
    ("stream_finish", [1], [stream(chunk(), chunk(finish="stop"))], [stream(chunk())]),
    ("stream_finish", [1], [stream(chunk(finish="stop"))],
     [stream(chunk(finish="stop"), chunk(text=""))]),
    ("stream_text_str", [], [stream(chunk())], [stream({"choices": [{**choice(), "text": None}]})]),
    ("stream_no_usage", [], [stream(chunk())], [stream(chunk(), DONE_CHUNK)]),
    ("stream_usage", [], [stream(chunk(usage=None), DONE_CHUNK)], [stream(chunk(), DONE_CHUNK)]),
    ("stream_usage_matches", [], [stream(chunk(), DONE_CHUNK), whole()],
     [stream(chunk(), DONE_CHUNK), whole(usage=usage(3))]),
    ("stream_usage_continuous", [], [stream(chunk(usage=usage(2, 1)), chunk(usage=usage(2, 2)))],
     [stream(chunk(usage=usage(2, 2)), chunk(usage=usage(2, 1)))]),
    ("stream_handoffs_told", [0], [stream({"choices": [], "usage": usage(baton={"handoffs": 0})})],
     [stream(DONE_CHUNK)]),
    ("stream_lp_matches", [],
     [stream({"choices": [choice(lp=GREEDY)]}), whole(choice(lp=GREEDY))],
     [stream({"choices": [choice(lp=ECHO)]}), whole(choice(lp=GREEDY))]),
    ("stream_lp_join", [], [stream({"choices": [choice(lp=GREEDY)]})],
     [stream({"choices": [choice(lp=BROKEN_LISTS)]})]),
]  # fmt: skip

HTTP: list[Row] = [
    ("ctype", ["application/json"], [whole()], [stream(chunk())]),
    ("header", ["x-a"], [reply({}, x_a="1")], [reply({}, x_a="")]),
    ("header_num", ["x-a"], [reply({}, x_a="12.5")], [reply({}, x_a="12ms")]),
    ("header_has", ["x-a", "b"], [reply({}, x_a="abc")], [reply({}, x_a="ac")]),
    ("header_eq", ["x-a", "b"], [reply({}, x_a="b")], [reply({}, x_a="bb")]),
    ("header_absent", ["x-a"], [reply({})], [reply({}, x_a="b")]),
    ("header_lists", ["x-a", ["b", "a"]], [reply({}, x_a="a, b")], [reply({}, x_a="a,b,c")]),
    ("body_lacks", ["$KEY"], [reply("x")], [reply("sk-script")]),
    ("body_empty", [], [reply(b"")], [reply({})]),
    ("body_has", ["x"], [reply("x")], [reply("y")]),
    ("error_keys", [], [error()], [reply({"error": {"message": "m"}}, 400)]),
    ("error_strict", [], [error(code=None)], [error(code=400)]),
    ("error_strict", [], [error()], [error(detail="more")]),
    ("error_matches", ["^w.*g$"], [error()], [error("right")]),
    ("models_list", [], [reply({"object": "list", "data": [{"id": "m"}]})],
     [reply({"object": "list", "data": []})]),
    ("model_object", [], [reply({"id": "m", "object": "model", "created": 1, "owned_by": "b"})],
     [reply({"id": "m", "object": "model", "created": 1})]),
    ("tokens_list", [], [reply({"tokens": [1]})], [reply({"tokens": []})]),
    ("tokenize_returns", [], [reply({"tokens": [1], "count": 1}), reply({"prompt": PROMPT})],
     [reply({"tokens": [1], "count": 1}), reply({"prompt": "other"})]),
    ("prompt_str", [], [reply({"prompt": ""})], [reply({"prompt": None})]),
    ("eos_token", [], [reply({"eos_token": None})], [reply({})]),
    ("key_whole", [], [reply({})], [reply({"key": "sk-script"})]),
]  # fmt: skip

ROWS = WHOLE + LOGPROBS + STREAMS + HTTP
SEVERAL_TURNS = {
    "stop_cuts_anywhere",
    "earliest_stop_wins",
    "stream_stop_cuts_anywhere",
    "lp_batch_invariant",
}
"""Checks with a test of their own below."""


def outcome(name: str, arguments: list[Any], answers: list[Answer], prompt: Any = PROMPT) -> str:
    """ "pass", or "fail" where the check finds a fault in the scripted answers."""
    request = Request(method="POST", path="/", body={"prompt": prompt, "max_tokens": 3})
    case = Case(id="c", group="c", title="c", request=request, expect=Expected(status=200))
    endpoint = Script("http://127.0.0.1:1", "sk-script", "m", answers=answers[1:])
    try:
        run_check(registry(), [name, *arguments], Exchange(case, answers[0], endpoint))
    except (CheckFailed, AssertionError, LookupError):
        return "fail"
    return "pass"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_check(row: Row) -> None:
    """The check lets a right answer pass and finds the planted fault."""
    name, arguments, right, wrong = row
    if name == "lp_as_alone":
        assert outcome(name, arguments, right, prompt=[PROMPT]) == "pass"
        assert outcome(name, arguments, wrong, prompt=[PROMPT]) == "fail"
        return
    if right:
        assert outcome(name, arguments, right) == "pass"
    assert outcome(name, arguments, wrong) == "fail"


def test_no_check_is_untested() -> None:
    """Every check of the registry has a row or a test of its own."""
    assert set(registry()) - {row[0] for row in ROWS} - SEVERAL_TURNS - {"object_whole"} == set()


FREE = "one two three four five"
CUTS = [FREE[:3], FREE[:5], FREE[:4], FREE[: FREE.index(FREE[11:15])], FREE[:1]]


def test_stop_cuts_anywhere() -> None:
    """Whole answers that end before the stop pass; one with a part of it does not."""
    right = [texts(FREE), *map(texts, CUTS)]
    assert outcome("stop_cuts_anywhere", [], right) == "pass"
    assert outcome("stop_cuts_anywhere", [], [*right[:-1], texts(FREE[:2])]) == "fail"


def test_stream_stop_cuts_anywhere() -> None:
    """Streams that end before the stop pass; one that let its first character out does not."""
    streams = [stream(chunk(text=cut)) for cut in CUTS]
    right = [stream(chunk()), texts(FREE), *streams]
    assert outcome("stream_stop_cuts_anywhere", [], right) == "pass"
    wrong = [*right[:-1], stream(chunk(text=FREE[:1]), chunk(text=FREE[1:2]))]
    assert outcome("stream_stop_cuts_anywhere", [], wrong) == "fail"


def test_earliest_stop_wins() -> None:
    """The text ends at the earlier stop for both orders of the list."""
    assert outcome("earliest_stop_wins", [], [texts(FREE), texts("on"), texts("on")]) == "pass"
    wrong = [texts(FREE), texts("on"), texts(FREE[:-3])]
    assert outcome("earliest_stop_wins", [], wrong) == "fail"


def test_lp_batch_invariant() -> None:
    """What two prompts share must be scored alike."""
    one, other = (logprobs(["a", "b", "c"], [None, -1.0, -2.0]) for _ in range(2))
    prompt = [[1, 2], [1, 2, 3]]
    right = [whole(choice(0, lp=one), choice(1, lp=other))]
    assert outcome("lp_batch_invariant", [], right, prompt) == "pass"
    other["token_logprobs"][1] = -1.1
    wrong = [whole(choice(0, lp=one), choice(1, lp=other))]
    assert outcome("lp_batch_invariant", [], wrong, prompt) == "fail"
