"""The fake server of each dialect, by the dialect's name: what tests over all dialects run against.

A dialect's fake speaks that server's real wire (routes, bodies, streams, errors, odd cases). Its
text comes from `word_model`, from the raw prompt that it was asked to continue, so that an answer
can be told in advance; `script` puts other answers in its place. It is registered by one line in
`FAKES`; a test over all dialects takes every dialect that is here.
"""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_completions import DIALECTS, FakeCompletions
from tests.fakes.fake_gemini import FakeGemini
from tests.fakes.fake_local import FakeLlamaServer, FakeMistral
from tests.fakes.fake_ollama import FakeOllama
from tests.fakes.fake_openai_chat import FakeOpenAIChat
from tests.fakes.word_model import Generated

Json = dict[str, Any]


class Fake(AbstractAsyncContextManager["Fake"], Protocol):
    """A server on 127.0.0.1, in the loop that entered it: `async with FAKES["vllm"]() as fake`."""

    dialect: str
    seen: list[Json]
    """The decoded bodies of requests that generate, as they arrived, oldest first."""

    @property
    def url(self) -> str:
        """What an operator gives as the upstream's URL (without the dialect's default prefix)."""
        ...

    def script(self, *answers: Generated) -> None:
        """The next choices that are generated, one each, whatever is asked; afterwards the model's
        own again. Pieces are sent one an event; `positions` may be empty: no logprobs then."""
        ...

    def fault(self, **fields: Any) -> None:
        """What goes wrong with the next answer: the fields of `faults.Fault`."""
        ...

    def until(
        self, condition: Callable[[], bool], within_s: float = 5.0
    ) -> Coroutine[Any, Any, None]:
        """Returns when the condition holds; TimeoutError when it does not in time."""
        ...


def completions(dialect: str) -> Callable[[], Fake]:
    """The fake of a server that speaks POST /v1/completions."""
    return lambda: FakeCompletions(dialect)


FAKES: Mapping[str, Callable[[], Fake]] = {
    **{dialect: completions(dialect) for dialect in DIALECTS},
    "openai-chat": FakeOpenAIChat,
    "anthropic": FakeAnthropic,
    "gemini": FakeGemini,
    "llama-server": FakeLlamaServer,
    "mistral": FakeMistral,
    "ollama": FakeOllama,
}
"""One line for each further dialect: "name": its class."""


def said(text: str, finish_reason: str = "stop") -> Generated:
    """A scripted answer, one piece for each word; it has no logprobs."""
    pieces = [piece + " " for piece in text.split(" ")]
    pieces[-1] = pieces[-1][:-1]
    return Generated([], pieces, finish_reason, len(pieces))
