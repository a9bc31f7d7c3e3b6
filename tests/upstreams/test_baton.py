"""What the baton dialect sends."""

from baton.semantics.events import Call
from baton.upstreams.baton import BatonAdapter


def test_determinism_travels_on() -> None:
    """As the header that a caller would have set; nothing otherwise."""
    call = Call(model="m", prompts=["p"], max_tokens=1)
    assert BatonAdapter().request(call).headers == ()
    wished = Call(model="m", prompts=["p"], max_tokens=1, deterministic=True)
    request = BatonAdapter().request(wished)
    assert request.headers == (("X-Baton-Deterministic", "true"),)
    assert request.body == BatonAdapter().request(call).body


def test_strictness_travels_on() -> None:
    """Else the other Baton would fill in what this caller refuses to have filled."""
    call = Call(model="m", prompts=["p"], max_tokens=1, strict=True)
    assert BatonAdapter().request(call).headers == (("X-Baton-Strict", "true"),)


def test_what_a_baton_fills_is_native() -> None:
    """All fields, and counts to bill from."""
    found = BatonAdapter.capabilities
    assert found.echo
    assert found.suffix
    assert found.best_of
    assert found.prompt_logprobs
    assert found.exact_usage
    assert not found.token_ids
