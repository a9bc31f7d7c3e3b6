"""Every field, alone and with every other, on every dialect: planned, never ignored."""

import msgspec
import pytest

from baton.engine_fields import TYPES
from baton.errors import RequestError
from baton.protocol import CompletionRequest, FillLimits
from baton.routing.matrix import (
    PROBES,
    Probe,
    cell,
    engine_markdown,
    markdown,
    pairs,
    remedies,
    request,
)
from baton.routing.plan import Attempt, Terms, plan
from baton.routing.routes import Routes
from baton.routing.work import NOTHING
from baton.semantics.events import Call
from baton.stores.base import UpstreamRecord
from baton.upstreams import registry
from baton.upstreams.base import Capabilities
from scripts import matrix

DIALECTS = registry.capabilities()
ASKED = [*((probe,) for probe in PROBES), *pairs()]


def planned(asked: CompletionRequest, native: Capabilities, *, strict: bool = False) -> Attempt:
    record = UpstreamRecord(name="u", url="http://x", dialect="openai", models={"m": "theirs"})
    terms = Terms(tenant="k", strict=strict)
    limits = FillLimits()
    made = plan(asked, terms, Routes([record], None), {"u": native}, seed=1, limits=limits)
    return made.attempts[0]


def outcome(asked: CompletionRequest, native: Capabilities) -> Attempt | RequestError:
    try:
        return planned(asked, native)
    except RequestError as error:
        return error


def ignored(asked: CompletionRequest, attempt: Attempt) -> list[str]:
    """Fields of the request that neither the call nor the work around it carries out."""
    call, work, needed = attempt.call, attempt.work or NOTHING, set(attempt.fills)
    default = CompletionRequest(model="m", prompts=[])
    return [
        name
        for name in asked.__struct_fields__
        if getattr(asked, name) != getattr(default, name)
        and name not in ("model", "best_of", "n")
        and name not in needed
        and not (name == "max_tokens" and work.tokens_max == asked.max_tokens)
        and not (name == "stream" and (work.best or work.ranked))
        and getattr(asked, name) != getattr(call, name)
    ]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_field_and_pair(dialect: str) -> None:
    """Native: the call carries it. Filled: the fill is named and its work is planned. Refused: a
    400 that names one of the fields. Nothing else, and a strict caller gets no fills."""
    native = DIALECTS[dialect]
    for probes in ASKED:
        asked = request(*probes)
        assert asked is not None
        what = (dialect, *(probe.label for probe in probes))
        names = {field for probe in probes for field in probe.fields} | {"prompt"}
        attempt = outcome(asked, native)
        if isinstance(attempt, RequestError):
            assert (400, "unsupported_parameter") == (attempt.status, attempt.code), what
            assert attempt.param in names, what
            assert f"'{attempt.param}'" in attempt.message, what
            assert "refused" == cell(native, *probes).kind, what
            continue
        assert [] == ignored(asked, attempt), what
        check_work(asked, attempt, native)
        if attempt.fills:
            with pytest.raises(RequestError) as refused:
                planned(asked, native, strict=True)
            assert 400 == refused.value.status
        else:
            assert attempt.upstream == planned(asked, native, strict=True).upstream


def check_work(asked: CompletionRequest, attempt: Attempt, native: Capabilities) -> None:
    """The call stays within what the dialect says it takes, with the work around it."""
    call, work = attempt.call, attempt.work or NOTHING
    if work.alone:
        return
    assert native.prompt_arrays or len(call.prompts) == 1 or work.prompts_max == 1
    assert min(call.n, work.samples_max) <= native.samples_max(call.temperature)
    assert call.n >= asked.best_of
    assert len(call.stop or ()) <= native.stop_max
    assert native.echo or not call.echo
    assert native.streams or not call.stream
    assert call.suffix is None or native.suffix or work.ranked or work.template
    assert call.max_tokens or native.max_tokens_zero
    stops = set(work.stops) | set(call.stop or ())
    assert set(asked.stop or ()) <= stops


def test_cells_say_what_is_done() -> None:
    """A row's own field, not what else its request happens to need."""
    chats = Capabilities(wrapping_tokens=9)
    [plain, echo, seed] = [
        next(probe for probe in PROBES if probe.label == label)
        for label in ("prompt", "echo", "seed")
    ]
    assert [("filled", "continuation"), ("filled", "echo"), ("refused", True)] == [
        (kind, note if kind == "filled" else "leave it out" in note)
        for kind, note in (
            msgspec.structs.astuple(cell(chats, each)) for each in (plain, echo, seed)
        )
    ]


def test_what_is_no_request_is_no_pair() -> None:
    """Two values of one field, an echo with a suffix, a ranking that is streamed."""
    rows = {probe.label: probe for probe in PROBES}
    for labels in (
        ("prompt: several", "prompt: token ids"),
        ("echo", "suffix"),
        ("best_of", "stream"),
    ):
        assert request(*(rows[label] for label in labels)) is None
    assert all(isinstance(probe, Probe) for pair in pairs() for probe in pair)
    assert set(Call.__struct_fields__) > {name for p in PROBES for name in p.asked} - {"best_of"}


def test_the_page_is_current() -> None:
    """docs/reference/capabilities.md is what the code says: run python scripts/matrix.py."""
    assert matrix.page() == matrix.PAGE.read_text(encoding="utf-8")
    assert markdown(DIALECTS) in matrix.page()
    assert "leave it out" in remedies(DIALECTS)
    assert engine_markdown(DIALECTS) in matrix.page()


def test_fields_of_one_engine_have_a_row() -> None:
    """Each on each dialect that forwards any."""
    able = [name for name, native in DIALECTS.items() if native.fields]
    table = engine_markdown(DIALECTS).splitlines()
    assert len(TYPES) + 2 == len(table)
    assert f"| field | {' | '.join(able)} |" == table[0]
    assert {"vllm", "sglang", "llama-server", "openai"} <= set(able)
