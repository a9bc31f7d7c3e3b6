"""The engine's protocol: what crosses the Unix socket between a relay worker and the engine
process.

A frame is a 4-byte big-endian length (≤ FRAME_BYTES_MAX) and one msgpack message, tagged by its
type. One connection carries one call at a time; after `Finished`, `Refused` or an answer it may
carry the next. Closing the connection cancels the call: the engine starts no further step for it. A
worker that reads slowly fills its socket, and the engine pauses that call's sequences until the
socket drains.

A stream can be replayed exactly after a crash: `Accepted` tells the fingerprint (engine build,
model file, mode) and the seed; `Generate.replay` feeds received ids back one at a time. Valid only
on an engine with the same fingerprint, and exact in deterministic mode, where the split of a prompt
is always the same."""

import struct

import msgspec

from baton.semantics.events import Call, Delta, Usage
from baton.telemetry.metrics import Histogram

FRAME_BYTES_MAX = 64 * 1024 * 1024  # a token-array body of 8 MiB grows at most eightfold in msgpack
HEADER = struct.Struct(">I")


class Generate(msgspec.Struct, tag="generate", frozen=True, omit_defaults=True):
    """Run a call. `replay[i]` are ids that choice i already has; its deltas begin after them."""

    call: Call
    replay: list[list[int]] | None = None
    echoed: list[bool] | None = None
    """With `replay`: which choices already sent their echo (it may have come without any id)."""
    drawn: bool = False
    """With `replay`: whether the call's seed was drawn for it, because the caller gave none."""


class Tokenize(msgspec.Struct, tag="tokenize", frozen=True):
    text: str
    add_special: bool = True
    parse_special: bool = True


class Detokenize(msgspec.Struct, tag="detokenize", frozen=True):
    ids: list[int]


class Describe(msgspec.Struct, tag="describe", frozen=True):
    """Ask for `Description`."""


class Accepted(msgspec.Struct, tag="accepted", frozen=True):
    """The call is in the queue: its prompts are tokenised and fit. Sent before any `Deltas`."""

    prompt_tokens: list[int]
    """Tokens of each prompt."""
    fingerprint: str
    seed: int = 0
    """The call's seed, or the one drawn for a call without: what a replay must ask for."""


class Deltas(msgspec.Struct, tag="deltas", frozen=True):
    """What one step produced for this call; indexes count within the call."""

    deltas: list[Delta]


class Finished(msgspec.Struct, tag="finished", frozen=True):
    """Every choice has its finish_reason; the call's exact usage."""

    usage: Usage
    splits: list[list[int]]
    """The chunk sizes in which each prompt was computed; a reused prefix is missing."""
    queue_s: float = 0.0
    """Seconds between acceptance and the first step that served it."""


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """The call is not run, or cannot go on. Status and fields as the caller shall see them."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None


class Tokens(msgspec.Struct, tag="tokens", frozen=True):
    ids: list[int]
    context_tokens_max: int


class Text(msgspec.Struct, tag="text", frozen=True):
    text: str


class Description(msgspec.Struct, tag="description", frozen=True, kw_only=True):
    """What runs inside the engine, and how busy it is."""

    fingerprint: str
    architecture: str
    vocabulary_size: int
    context_tokens_max: int
    """Prompt and completion of one choice together."""
    sequences_max: int
    threads: int
    eos_token: str | None
    bos_token: str | None
    fim: bool
    """Whether the vocabulary has fill-in-the-middle tokens."""
    running: int = 0
    waiting: int = 0
    steps: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompts: int = 0
    reused_prompts: int = 0
    batch_tokens: int = 0
    batch_sequences: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    kept_tokens: int = 0
    """In the sequences' memory now, of `sequences_max` × `context_tokens_max`."""
    step: Histogram = msgspec.field(default_factory=Histogram)
    queue: Histogram = msgspec.field(default_factory=Histogram)


ToEngine = Generate | Tokenize | Detokenize | Describe
FromEngine = Accepted | Deltas | Finished | Refused | Tokens | Text | Description


def frame(encoder: msgspec.msgpack.Encoder, message: ToEngine | FromEngine) -> bytes:
    """Length and message, ready for one write."""
    body = encoder.encode(message)
    return HEADER.pack(len(body)) + body
