"""A suffix by template."""

import asyncio

from baton.fills.infilled import Infilled, infilled
from baton.fills.source import gather
from baton.semantics.events import Call, Delta, Logprobs, Usage
from baton.semantics.fim import TEMPLATES
from tests.fakes.sources import Given

CALL = Call(model="m", prompts=["def f", "x"], max_tokens=5, n=2, suffix="tail", logprobs=0)


def test_the_upstream_sees_one_prompt() -> None:
    """Both texts in the template's order, and no suffix besides."""
    sent = infilled(CALL, TEMPLATES["qwen"])
    assert [
        "<|fim_prefix|>def f<|fim_suffix|>tail<|fim_middle|>",
        "<|fim_prefix|>x<|fim_suffix|>tail<|fim_middle|>",
    ] == sent.prompts
    assert (None, 2) == (sent.suffix, sent.n)


def test_offsets_count_from_the_callers_prompt() -> None:
    """Each choice's by its own prompt."""
    sent = infilled(CALL, TEMPLATES["qwen"])
    deltas = []
    for index in range(4):
        offset = len(str(sent.prompts[index // 2]))
        logprobs = Logprobs(["a"], [-1.0], [{"a": -1.0}], [offset])
        deltas.append(Delta(index, "a", "stop", logprobs if index != 1 else None))
    source = Given(deltas)
    found = asyncio.run(gather(shown := Infilled(source, CALL, sent)))
    assert [[5], None, [1], [1]] == [d.logprobs and d.logprobs.text_offset for d in found]
    assert (4, Usage(10, 4)) == (shown.generated, shown.usage)
    shown.close()
    assert source.closed
