"""Text to token ids and back, in vLLM's shapes: what lm-evaluation-harness needs of a tokenizer."""

from typing import Annotated

import msgspec

from baton.errors import RequestError, invalid, overloaded, unsupported
from baton.upstreams.base import UpstreamError
from baton.upstreams.vocabularies import Vocabulary
from baton.web.models import meant
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.services import Embedded

TokenId = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class TokenizeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prompt: str
    add_special_tokens: bool = True
    """Whether the model's first token (BOS) is put in front, where it has one."""
    model: str | None = None


class TokenizeAnswer(msgspec.Struct, frozen=True):
    count: int
    max_model_len: int
    tokens: list[int]


class DetokenizeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: list[TokenId]
    model: str | None = None


class DetokenizeAnswer(msgspec.Struct, frozen=True):
    prompt: str


class TokenizerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str | None = None


class TokenizerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a client needs to build prompts itself."""

    tokenizer_class: str
    eos_token: str | None
    bos_token: str | None
    pad_token: str | None
    chat_template: str | None


async def tokenize(visit: Visit[TokenizeBody, AnyQuery]) -> TokenizeAnswer:
    async with visit.services.turns.of(visit.caller.id, len(visit.body.prompt)):
        return await _tokenize(visit)


async def _tokenize(visit: Visit[TokenizeBody, AnyQuery]) -> TokenizeAnswer:
    body, parse_special = visit.body, visit.caller.parse_special
    vocabulary = _vocabulary(visit, body.model)
    if vocabulary is not None:
        try:
            ids = await vocabulary.ids(
                body.prompt, start=body.add_special_tokens, special=parse_special
            )
            facts = await vocabulary.facts()
        except UpstreamError as error:
            raise _away() from error
        return TokenizeAnswer(len(ids), facts.context_tokens, ids)
    embedded = _embedded(visit, body.model)
    try:
        found = await embedded.tokenize(
            body.prompt, add_special=body.add_special_tokens, parse_special=parse_special
        )
    except UpstreamError as error:
        raise _restarting() from error
    return TokenizeAnswer(len(found.ids), found.context_tokens_max, found.ids)


async def detokenize(visit: Visit[DetokenizeBody, AnyQuery]) -> DetokenizeAnswer:
    async with visit.services.turns.of(visit.caller.id, len(visit.body.tokens)):
        return await _detokenize(visit)


async def _detokenize(visit: Visit[DetokenizeBody, AnyQuery]) -> DetokenizeAnswer:
    ids = visit.body.tokens
    vocabulary = _vocabulary(visit, visit.body.model)
    if vocabulary is not None:
        try:
            return DetokenizeAnswer(await vocabulary.text(ids))
        except UpstreamError as error:
            raise _away() from error
        except RequestError as error:
            raise invalid(error.message, param="tokens") from None
    embedded = _embedded(visit, visit.body.model)
    try:
        facts = embedded.description or await embedded.describe()
        if ids and max(ids) >= facts.vocabulary_size:
            size = facts.vocabulary_size
            raise invalid(f"A token id is not in the vocabulary (0 to {size - 1}).", param="tokens")
        return DetokenizeAnswer(await embedded.detokenize(ids))
    except UpstreamError as error:
        raise _restarting() from error


async def tokenizer_info(visit: Visit[Nothing, TokenizerQuery]) -> TokenizerInfo:
    vocabulary = _vocabulary(visit, visit.query.model)
    if vocabulary is not None:
        try:
            told = await vocabulary.facts()
        except UpstreamError as error:
            raise _away() from error
        return TokenizerInfo(
            tokenizer_class=told.architecture,
            eos_token=told.eos_token,
            bos_token=told.bos_token,
            pad_token=None,
            chat_template=None,
        )
    embedded = _embedded(visit, visit.query.model)
    try:
        facts = embedded.description or await embedded.describe()
    except UpstreamError as error:
        raise _restarting() from error
    return TokenizerInfo(
        tokenizer_class=facts.architecture,
        eos_token=facts.eos_token,
        bos_token=facts.bos_token,
        pad_token=None,
        chat_template=None,
    )


AnyVisit = (
    Visit[TokenizeBody, AnyQuery] | Visit[DetokenizeBody, AnyQuery] | Visit[Nothing, TokenizerQuery]
)


def _vocabulary(visit: AnyVisit, named: str | None) -> Vocabulary | None:
    """That of the meant model, where an operator gave it and the engine does not serve it."""
    found = meant(visit.services, visit.user, named, visit.fixed_model)
    return None if found.embedded else visit.services.vocabulary(found.name)


def _embedded(visit: AnyVisit, named: str | None) -> Embedded:
    """The engine that serves the meant model; 400 where the model's tokenizer is not at hand."""
    found = meant(visit.services, visit.user, named, visit.fixed_model)
    if visit.services.embedded is None or not found.embedded:
        remedy = "its vocabulary is not here. Ask its upstream, or have it given (--vocabulary)."
        raise unsupported("model", found.name, remedy)
    return visit.services.embedded


def _away() -> RequestError:
    return overloaded("The model's vocabulary cannot be read now.", 1.0)


def _restarting() -> RequestError:
    return overloaded("The engine is restarting.", 1.0)


OPERATIONS = (
    Operation(
        id="tokenize",
        tag="tokens",
        method="POST",
        path="/tokenize",
        access=Access.KEY,
        run=tokenize,
        query=AnyQuery,
        body=TokenizeBody,
        answer=TokenizeAnswer,
        errors=(400, 404, 429, 503),
        prefixed=True,
    ),
    Operation(
        id="detokenize",
        tag="tokens",
        method="POST",
        path="/detokenize",
        access=Access.KEY,
        run=detokenize,
        query=AnyQuery,
        body=DetokenizeBody,
        answer=DetokenizeAnswer,
        errors=(400, 404, 429, 503),
        prefixed=True,
    ),
    Operation(
        id="tokenizerinfo",
        tag="tokens",
        method="GET",
        path="/tokenizer_info",
        access=Access.KEY,
        run=tokenizer_info,
        query=TokenizerQuery,
        answer=TokenizerInfo,
        errors=(400, 404, 503),
        prefixed=True,
    ),
)
