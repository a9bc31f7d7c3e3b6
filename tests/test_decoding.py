"""Bytes to typed fields: each path of the decoder, and the field that is blamed."""

import pytest

from baton.decoding import SingleRequest, Unknown, WireFields, parse
from baton.errors import RequestError
from baton.semantics.events import Prompt


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        (b'"a"', ["a"]),
        (b'""', [""]),
        (b"[1, 2]", [[1, 2]]),
        (b' [ "a" , "b" ] ', ["a", "b"]),
        (b" [ [ 1 ] , [2,3]] ", [[1], [2, 3]]),
    ],
)
def test_the_same_prompt_on_every_path(prompt: bytes, prompts: list[Prompt]) -> None:
    """Unknown fields change the path that is taken, not what is understood."""
    body = b'{"model":"m","echo":true,"prompt":' + prompt
    plain, found, ignored = parse(body + b"}", 2)
    careful, again, names = parse(body + b',"z":[1],"a":"x","n":null,"y":null}', 2)
    assert found == again == prompts
    assert (ignored, names) == (Unknown(), Unknown(("a", "z")))
    for name in WireFields.__struct_fields__:
        assert getattr(plain, name) == getattr(careful, name)


def test_the_plain_path_is_the_usual_one() -> None:
    """One prompt and no unknown field take one typed pass."""
    wire, _, _ = parse(b'{"prompt":[1],"model":"m","stream_options":{"include_usage":true}}', 1)
    assert isinstance(wire, SingleRequest)
    assert wire.stream_options is not None
    assert wire.stream_options.include_usage is True


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"z":1,"a":"\xff"}', None),
        (b'{"z":1,"a":nope}', None),
        (b'{"model":"m","prompt":"a","n":"1","n":1}', None),
        (b'{"prompt":"a"}', "model"),
        (b'{"prompt":["a"]}', "model"),
        (b'{"model":"m"}', "prompt"),
        (b'{"model":"m","prompt":null}', "prompt"),
        (b'{"model":"m","z":1}', "prompt"),
        (b'{"model":"m","prompt":[]}', "prompt"),
        (b'{"model":"m","prompt":[ ],"z":1}', "prompt"),
        (b'{"model":"m","prompt":["a","b","c"]}', "prompt"),
        (b'{"model":"m","prompt":[[1],[2],[3]]}', "prompt"),
        (b'{"model":"m","prompt":[[1],[-2]]}', "prompt"),
        (b'{"model":"m","prompt":["a","b"],"temperature":3}', "temperature"),
        (
            b'{"model":"m","prompt":"a","stream_options":{"include_usage":3,"z":1}}',
            "stream_options",
        ),
    ],
)
def test_who_is_blamed(body: bytes, param: str | None) -> None:
    """A body that cannot be taken is a 400; its param is the field, where one is at fault."""
    with pytest.raises(RequestError) as caught:
        parse(body, 2)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_names_inside_stream_options_are_told() -> None:
    """An option that nobody knows is told with its path; null is none."""
    options = b'{"model":"m","prompt":"a","stream_options":{"b":1,"a":null}}'
    assert parse(options, 1)[2] == Unknown(("stream_options.b",))
    assert parse(b'{"model":"m","prompt":"a","z":1,"stream_options":null}', 1)[2] == Unknown(("z",))


def test_fields_of_one_engine_are_typed() -> None:
    """They are told apart from what nobody knows; null is as if left out."""
    body = b'{"model":"m","prompt":"a","z":1,"top_k":5,"min_p":null,"ignore_eos":true}'
    assert parse(body, 1)[2] == Unknown(("z",), {"top_k": 5, "ignore_eos": True})
