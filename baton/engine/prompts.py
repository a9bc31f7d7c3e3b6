"""From a Call to prompts as the model takes them: tokenised, checked, with what their echo needs.

Text is tokenised as the vocabulary says (BOS where it adds one); ids are taken as they are. An
empty text starts from BOS or the document separator, which counts as a prompt token. With a suffix
the prompt is built of ids around the vocabulary's fill-in-the-middle markers, so that no text
inside can forge one."""

import msgspec

from baton.engine.llama import Model
from baton.engine.text import Entry, offsets, split_tail
from baton.engine.wire import Refused
from baton.errors import RequestError, context_exceeded, invalid, unsupported
from baton.semantics.events import Call, Prompt
from baton.semantics.places import name_of

TOKEN_BYTES_MAX = 256
"""No token stands for more text (the longest known are runs of 128 spaces)."""


class Prepared(msgspec.Struct, kw_only=True):
    """One prompt, ready to be computed."""

    ids: list[int]
    text: str
    """What an echo shows: the very text that was given; of ids, their text without a half
    character."""
    tail: bytes = b""
    """The half character that ids ended in."""
    pieces: list[bytes] = []
    """The bytes of each id; only filled where prompt logprobs are wanted."""

    def entries(self) -> list[Entry]:
        """One entry for each token, without logprobs."""
        joined, _ = split_tail(b"".join(self.pieces))
        spelled = joined == self.text  # of ids always, which may begin within a character
        parts = self.pieces if spelled else aligned(self.pieces, self.text.encode())
        return [
            Entry(name_of(part or piece), None, None, start)
            for piece, part, start in zip(self.pieces, parts, offsets(parts), strict=True)
        ]


def refusal(error: RequestError, retry_after_s: float | None = None) -> Refused:
    return Refused(error.status, error.message, error.code, error.param, retry_after_s)


def prepare(call: Call, model: Model, context_tokens_max: int) -> list[Prepared]:
    """Every prompt of the call. Raises RequestError for what this model cannot run."""
    _check(call, model)
    text_bytes_max = context_tokens_max * TOKEN_BYTES_MAX
    prepared = []
    for prompt in call.prompts:
        if isinstance(prompt, str) and len(prompt) > text_bytes_max:
            # It cannot fit: megabytes are not tokenised only to say by how much.
            counted = len(model.tokenize(prompt[:text_bytes_max]))
            raise context_exceeded(context_tokens_max, counted, call.max_tokens)
        one = (
            _filled(call, prompt, model) if call.suffix is not None else _plain(call, prompt, model)
        )
        if len(one.ids) + call.max_tokens > context_tokens_max:
            raise context_exceeded(context_tokens_max, len(one.ids), call.max_tokens)
        prepared.append(one)
    return prepared


def _check(call: Call, model: Model) -> None:
    if call.suffix is not None:
        if model.fim is None:
            raise unsupported(
                "suffix", call.model, "its vocabulary has no fill-in-the-middle tokens."
            )
        if call.echo:
            raise invalid("'echo' cannot be combined with 'suffix'.", "echo")
    for token in call.logit_bias or ():
        if not 0 <= token < model.vocabulary_size:
            message = f"Invalid 'logit_bias': the model has no token {token}."
            raise invalid(message, "logit_bias", "invalid_token_id")


def _checked(ids: list[int], model: Model) -> list[int]:
    if ids and not 0 <= min(ids) <= max(ids) < model.vocabulary_size:
        raise invalid(
            f"Invalid 'prompt': token ids of this model lie in [0, {model.vocabulary_size - 1}].",
            "prompt",
            "invalid_token_id",
        )
    return ids


def _plain(call: Call, prompt: Prompt, model: Model) -> Prepared:
    scored = call.echo and call.logprobs is not None
    if isinstance(prompt, str):
        ids = model.tokenize(prompt, parse_special=call.parse_special)
        ids = ids or _fresh(model)
        pieces = [model.piece(token, True) for token in ids] if scored else []
        return Prepared(ids=ids, text=prompt, pieces=pieces)
    ids = _checked(list(prompt), model) or _fresh(model)
    pieces = [model.piece(token, True) for token in ids]
    text, tail = split_tail(b"".join(pieces))
    return Prepared(ids=ids, text=text, tail=tail, pieces=pieces if scored else [])


def _fresh(model: Model) -> list[int]:
    """What an empty prompt becomes: something must come before the first token."""
    if model.start is None:
        raise invalid("This model cannot start from an empty prompt.", "prompt")
    return [model.start]


def aligned(pieces: list[bytes], text: bytes) -> list[bytes]:
    """The part of `text` that each piece stands for: none for a BOS that was added, and without the
    space that some vocabularies put before the first word."""
    at, parts = 0, []
    for piece in pieces:
        if text.startswith(piece, at):
            part = piece
        elif at == 0 and piece.startswith(b" ") and text.startswith(piece[1:]):
            part = piece[1:]
        elif at == 0:
            part = b""
        else:
            part = piece
        parts.append(part)
        at += len(part)
    return parts


def _filled(call: Call, prompt: Prompt, model: Model) -> Prepared:
    """Prefix and suffix around the hole, in the order that every family of llama.cpp's list
    takes."""
    fim = model.fim
    assert fim is not None
    assert call.suffix is not None

    def plain_ids(text: str) -> list[int]:
        return model.tokenize(text, add_special=False, parse_special=False)

    if isinstance(prompt, str):
        before, text = plain_ids(prompt), prompt
    else:
        before = _checked(list(prompt), model)
        text, _ = split_tail(b"".join(model.piece(token, True) for token in before))
    start = [model.bos] if model.add_bos and model.bos >= 0 else []
    ids = [*start, fim.prefix, *before, fim.suffix, *plain_ids(call.suffix), fim.middle]
    return Prepared(ids=ids, text=text)
