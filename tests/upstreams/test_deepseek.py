"""What the DeepSeek dialect sends and claims."""

import json
from typing import Any

from baton.semantics.events import Call
from baton.upstreams.deepseek import DeepseekAdapter


def sent(call: Call) -> Any:
    return json.loads(DeepseekAdapter().request(call).body)


def test_fill_in_the_middle() -> None:
    """One prompt with a suffix; nothing else at its default."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=16, suffix="s")) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 16,
        "suffix": "s",
    }


def test_native_and_not() -> None:
    """suffix and echo are there; arrays, ids, n and seed are not."""
    found = DeepseekAdapter.capabilities
    assert (found.suffix, found.echo) == (True, True)
    missing = (found.prompt_arrays, found.token_prompts, found.n, found.seed)
    assert missing == (False, False, False, False)
