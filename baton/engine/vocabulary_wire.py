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


class Split(msgspec.Struct, tag="split", frozen=True):
    """The ids of a text. `start`: with what begins every prompt; `special`: text that names a
    special token becomes it."""

    file: str
    text: str
    start: bool
    special: bool


class Describe(msgspec.Struct, tag="describe", frozen=True):
    """What the file says of itself."""

    file: str


class Ids(msgspec.Struct, tag="ids", frozen=True):
    ids: list[int]


class Facts(msgspec.Struct, tag="facts", frozen=True):
    size: int
    architecture: str
    bos_token: str | None
    eos_token: str | None
    context_tokens: int
    """Of the model that it belongs to; 0 where the file does not tell."""


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


Question = Count | Tell | Measure | Split | Describe
Answer = Counts | Told | Measured | Ids | Facts | Unknown | Unusable


def frame(encoder: msgspec.msgpack.Encoder, message: Question | Answer) -> bytes:
    """One message, ready to be written."""
    body = encoder.encode(message)
    assert len(body) <= FRAME_BYTES_MAX
    return HEADER.pack(len(body)) + body
