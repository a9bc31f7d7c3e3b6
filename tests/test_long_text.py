"""Long prompts go on as they were written: which bytes those are, and when it is not told."""

import json
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.decoding import parse
from baton.errors import RequestError
from baton.long_text import LONG_BYTES, QUOTES_MAX, LongPrompt, prompts, written
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
def test_what_is_told_is_the_prompt(before: str, spelled: str, after: str, name: str) -> None:
    """However text and fields around it are written: what is told reads as the prompt does."""
    body = f'{{{before}{name}"{spelled}"{after}}}'.encode()
    text = json.loads(body)["prompt"]
    told = bytes(written(text, body) or b"")
    assert text == json.loads(told)
    assert told in (f'"{spelled}"'.encode(), b'"b"')
    assert told == bytes(written(text, cast(bytes, bytearray(body))) or b"")


@given(
    st.text(st.characters(codec="utf-8"), max_size=200),
    st.booleans(),
    st.sampled_from([(", ", ": "), (",", ":"), (" , ", "\t:\n")]),
    st.dictionaries(
        st.sampled_from(["user", "stop", "model"]), st.text(st.characters(codec="utf-8"))
    ),
    st.booleans(),
)
def test_whoever_wrote_it(
    text: str, ascii_only: bool, between: tuple[str, str], fields: dict[str, str], first: bool
) -> None:
    """Any text of any encoder, before other fields or behind them."""
    parts = [{"prompt": text}, fields] if first else [fields, {"prompt": text}]
    asked = {name: value for part in parts for name, value in part.items()}
    body = json.dumps(asked, ensure_ascii=ascii_only, separators=between).encode()
    told = written(text, body)
    assert told is not None
    assert json.dumps(text, ensure_ascii=ascii_only).encode() == bytes(told)


@given(st.binary(max_size=30), st.sampled_from([b"", b"\\", b"\\u", b'\\"', b"\xc3", b"\\ud83d"]))
def test_only_what_reads_as_json_goes_on(spelled: bytes, odd: bytes) -> None:
    """Whatever stands between the quotes is refused, or is told as it stands and reads the same."""
    body = b'{"model":"m","prompt":"' + FILLING.encode() + spelled + odd + b'"}'
    try:
        meant = json.loads(body.decode())["prompt"]
        meant.encode()
    except (ValueError, KeyError):
        meant = None
    if meant is None:
        with pytest.raises(RequestError) as caught:
            decode(body, RequestLimits())
        assert 400 == caught.value.status
        return
    request = decode(body, RequestLimits())
    assert [meant] == request.prompts
    assert isinstance(request.prompts, LongPrompt)
    assert meant == json.loads(bytes(request.prompts.json))


@pytest.mark.parametrize("spelled", ["", "\\\\", '\\"', 'a\\\\\\"', "\\u0022", "é\\n😀"])
def test_it_is_remembered(spelled: str) -> None:
    """Also where it ends in escapes; the fields around it do not matter. Of a short body it is
    not, nor of ids."""
    body = f'{{"model":"m", "prompt" : "{FILLING}{spelled}","stop":["\\n","\\""]}}'.encode()
    found = prompts(json.loads(body)["prompt"], body)
    assert isinstance(found, LongPrompt)
    assert f'"{FILLING}{spelled}"'.encode() == bytes(found.json)
    assert list is type(prompts("a", b'{"prompt":"a"}'))
    ids = [1] * LONG_BYTES
    assert list is type(prompts(ids, json.dumps({"prompt": ids}).encode()))


@pytest.mark.parametrize(
    "body",
    [
        '{"prompt":"a","prompt":"b"}',
        '{"prompt":"a","pr\\u006fmpt":"b"}',
        '{"pr\\u006fmpt":"a","prompt":"a"}',
        '{"user":"' + "x" * 5000 + '","prompt":"a"}',
        '{"prompt":"' + '\\"' * (QUOTES_MAX + 1) + '"}',
        '{"prompt":"' + '\\"' * QUOTES_MAX + '"}',
        '{"prompt":"a","user":"' + "x" * 5000 + '"}',
    ],
)
def test_what_is_not_simple_is_read_once_more(body: str) -> None:
    """A name that may be there twice, or comes late; more quotes to step over than are worth it."""
    text = json.loads(body)["prompt"]
    told = written(text, body.encode())
    assert told is not None
    assert text == json.loads(bytes(told))


@pytest.mark.parametrize("option", ["", ',"user":"u"'])
def test_a_long_prompt_goes_on_as_it_was_written(option: str) -> None:
    """The very bytes, in plain requests and in others; a short one is written anew."""
    for filling, spelled in ((FILLING, b'\\u0041\\/"'), ("", b'A/"')):
        body = f'{{"model":"m","prompt":"{filling}\\u0041\\/"{option}}}'.encode()
        request = decode(body, RequestLimits())
        assert [f"{filling}A/"] == request.prompts
        call = Call(model="m", prompts=request.prompts, max_tokens=1)
        assert spelled in OpenAIAdapter().request(call).body


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
