"""Long prompts go on as they were written: which bytes those are, and when it is not told."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.decoding import parse
from baton.errors import RequestError
from baton.long_text import LONG_BYTES, LongPrompt, prompts
from baton.protocol import RequestLimits, decode
from baton.semantics.events import Call
from baton.upstreams.openai import OpenAIAdapter
from baton.upstreams.registry import BUILT_IN, Dialect

FILLING = "x" * LONG_BYTES
ESCAPES = ("\\\\", '\\"', "\\n", "\\u0041", "\\u4f60", "\\ud83d\\ude00", "\\/", "a", "é", "😀", "}")
PARTS = st.lists(st.sampled_from(ESCAPES), max_size=40).map("".join)
BEFORE = st.sampled_from(
    [
        "",
        '"model":"m\\"",',
        '"user":"prompt",',
        '"stop":["\\\\"],',
        '"n":1 ,',
        '"user":"\\"prompt\\": \\"",',
    ]
)
AFTER = st.sampled_from(
    [
        "",
        ',"user":"a"',
        ',"stop":["\\\\","\\""]',
        ',"max_tokens":5',
        ',"prompt":"b"',
        ',"pr\\u006fmpt":"b"',
        ',"user":"prompt"',
    ]
)


@given(BEFORE, PARTS, AFTER, st.sampled_from(['"prompt":', '"prompt" : ', '"pr\\u006fmpt":']))
def test_what_is_remembered_is_the_prompt(before: str, written: str, after: str, name: str) -> None:
    """However text and fields around it are written: what is told reads as the prompt does."""
    body = f'{{{before}{name}"{written}"{after}}}'.encode()
    text = json.loads(body)["prompt"]
    found = prompts(text, body)
    assert [text] == found
    if isinstance(found, LongPrompt):
        assert f'"{written}"'.encode() == bytes(found.json)


@pytest.mark.parametrize("written", ["", "\\\\", '\\"', 'a\\\\\\"', "\\u0022", "é\\n😀"])
def test_it_is_remembered(written: str) -> None:
    """Also where it ends in escapes; the fields around it do not matter."""
    body = f'{{"model":"m", "prompt" : "{written}","stop":["\\n","\\""],"user":"u"}}'.encode()
    found = prompts(json.loads(body)["prompt"], body)
    assert isinstance(found, LongPrompt)
    assert f'"{written}"'.encode() == bytes(found.json)


@pytest.mark.parametrize(
    "body",
    [
        '{"prompt":"a","prompt":"b"}',
        '{"prompt":"a","pr\\u006fmpt":"b"}',
        '{"pr\\u006fmpt":"a","prompt":"a"}',
        '{"user":"' + "x" * 5000 + '","prompt":"a"}',
        '{"prompt":"' + '\\"' * 300 + '"}',
        '{"prompt":"a","user":"' + "x" * 5000 + '"}',
    ],
)
def test_what_is_not_simple_is_not_remembered(body: str) -> None:
    """A name that may be there twice, or comes late; more quotes to step over than are worth it."""
    text = json.loads(body)["prompt"]
    assert list is type(prompts(text, body.encode()))


@pytest.mark.parametrize("option", ["", ',"user":"u"'])
def test_a_long_prompt_goes_on_as_it_was_written(option: str) -> None:
    """The very bytes, in plain requests and in others; a short one is written anew."""
    for filling, written in ((FILLING, b'\\u0041\\/"'), ("", b'A/"')):
        body = f'{{"model":"m","prompt":"{filling}\\u0041\\/"{option}}}'.encode()
        request = decode(body, RequestLimits())
        assert [f"{filling}A/"] == request.prompts
        call = Call(model="m", prompts=request.prompts, max_tokens=1)
        assert written in OpenAIAdapter().request(call).body


def test_a_path_that_fixes_the_model_makes_no_difference() -> None:
    """Fields are read in another way there."""
    _, found, _ = parse(f'{{"prompt":"{FILLING}"}}'.encode(), 1, model="m")
    assert isinstance(found, LongPrompt)


@pytest.mark.parametrize("wrong", [b"\x01", b"\\x", b"\xff", b"\\ud800"])
def test_what_is_wrong_in_it_is_still_refused(wrong: bytes) -> None:
    """Control characters, escapes that there are not, bytes that are no UTF-8, half characters."""
    body = b'{"model":"m","prompt":"%b%b"}' % (FILLING.encode(), wrong)
    with pytest.raises(RequestError) as caught:
        decode(body, RequestLimits())
    assert 400 == caught.value.status


@pytest.mark.parametrize("dialect", BUILT_IN.values(), ids=list(BUILT_IN))
def test_every_dialect_asks_the_same(dialect: Dialect) -> None:
    """In whatever way a prompt is written, each sends the same text."""
    long = LongPrompt("<a>\n\\A", msgspec.Raw(b'"<a>\\u000a\\\\\\u0041"'))
    adapter = dialect.adapter()
    bodies = [
        json.loads(adapter.request(Call(model="m", prompts=each, max_tokens=1)).body)
        for each in (long, list(long))
    ]
    assert bodies[0] == bodies[1]
    assert "<a>\\n\\\\A" in json.dumps(bodies[0])


def test_for_everything_else_it_is_a_list() -> None:
    """Such as what goes to the engine."""
    call = Call(model="m", prompts=LongPrompt("A", msgspec.Raw(b'"\\u0041"')), max_tokens=1)
    assert call == Call(model="m", prompts=["A"], max_tokens=1)
    assert ["A"] == msgspec.msgpack.decode(msgspec.msgpack.encode(call), type=Call).prompts
