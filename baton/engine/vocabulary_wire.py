"""What crosses the pipes between a worker and its vocabulary process (`engine/vocabulary.py`).

Frames are those of `engine/frames.py`: a length and one msgpack message, tagged by its type. Each
question has one answer, in the order of the questions.
"""

import msgspec

from baton.engine.wire import FRAME_BYTES_MAX, HEADER


class Count(msgspec.Struct, tag="count", frozen=True):
    """How many tokens each text has."""

    file: str
    texts: list[str]
    start: bool
    """Whether they are prompts: a token that begins every prompt counts too."""


class Tell(msgspec.Struct, tag="tell", frozen=True):
    """The text of ids, special tokens by name."""

    file: str
    ids: list[int]


class Measure(msgspec.Struct, tag="measure", frozen=True):
    """How much of a text its first tokens are."""

    file: str
    text: str
    tokens_max: int


class Counts(msgspec.Struct, tag="counts", frozen=True):
    tokens: list[int]


class Told(msgspec.Struct, tag="told", frozen=True):
    text: str


class Measured(msgspec.Struct, tag="measured", frozen=True):
    """Tokens of the whole text, and the code points that are whole in its first `tokens_max`."""

    tokens: int
    characters: int


class Unknown(msgspec.Struct, tag="unknown", frozen=True):
    """There is no such token: ids go from 0 to `size` - 1."""

    token: int
    size: int


class Unusable(msgspec.Struct, tag="unusable", frozen=True):
    """The file cannot be used."""

    reason: str


Question = Count | Tell | Measure
Answer = Counts | Told | Measured | Unknown | Unusable


def frame(encoder: msgspec.msgpack.Encoder, message: Question | Answer) -> bytes:
    """One message, ready to be written."""
    body = encoder.encode(message)
    assert len(body) <= FRAME_BYTES_MAX
    return HEADER.pack(len(body)) + body
