"""The engine's thread on real models, against plain computations; cancel, pause, faults."""

import threading
from typing import cast

import numpy as np
import pytest

from baton.engine.kv_state import Bytes
from baton.engine.llama import Context, DecodeError, Model
from baton.engine.sampling import log_normaliser
from baton.engine.scheduler import Bounds
from baton.engine.wire import Refused
from tests.engine.rig import Rig, call, greedy, logits, wait_until

VILLAGE = (
    "Once upon a time, in a small village by the sea, there lived an old woman who repaired nets. "
    "Every morning she walked down to the harbour, sat on an upturned boat and listened to what "
    "the fishermen had to tell of storms, of nets that broke, and of the islands. One morning"
)


def test_greedy_is_plain_decoding(rig: Rig, plain: Context) -> None:
    """Alone, the engine computes what a loop of single decodes does."""
    ids = rig.model.tokenize(VILLAGE)
    assert len(ids) > 60
    done = rig.complete(call(VILLAGE, max_tokens=16))
    assert greedy(plain, ids, 16) == done.ids()
    assert rig.model.detokenize(done.ids()).decode() == done.text()
    assert ("length", 16) == (done.finish(), done.finished.usage.completion_tokens)


def test_prompt_logprobs_are_plain_log_softmax(rig: Rig, plain: Context) -> None:
    """Every token's logprob and the likeliest ones, as a plain prefill gives them; first null."""
    ids = rig.model.tokenize(VILLAGE)
    rows = logits(plain, ids)
    found = rig.complete(call(VILLAGE, max_tokens=1, echo=True, logprobs=2)).logprobs()
    assert len(ids) + 1 == len(found.tokens)
    assert (None, None, 0) == (
        found.token_logprobs[0],
        found.top_logprobs[0],
        found.text_offset[0],
    )
    for at, token in enumerate(ids[1:], 1):
        wanted = float(rows[at - 1][token]) - log_normaliser(rows[at - 1])
        assert wanted == pytest.approx(found.token_logprobs[at], abs=1e-4)
        top = found.top_logprobs[at]
        assert top is not None
        greatest = float(rows[at - 1].max()) - log_normaliser(rows[at - 1])
        assert greatest == pytest.approx(max(top.values()), abs=1e-4)
        assert len(top) in (2, 3)
        assert found.tokens[at] in top
    last = found.top_logprobs[-1]
    assert last is not None
    assert found.token_logprobs[-1] == max(last.values()), "bit-equal under greedy"
    assert VILLAGE == "".join(found.tokens[:-1])


def test_results_do_not_depend_on_neighbours(rig: Rig) -> None:
    """Deterministic calls: the same bits alone, beside others, and with a warm cache."""
    asked = call(VILLAGE, max_tokens=8, temperature=0.8, seed=3, logprobs=3, deterministic=True)
    alone = rig.complete(asked)
    others = [rig.start(call(f"{i} {VILLAGE}", max_tokens=20)) for i in range(5)]
    others += [
        rig.start(call(f"{i} {VILLAGE[:90]}", max_tokens=5, deterministic=True)) for i in (7, 8, 9)
    ]
    beside = rig.complete(asked)
    for other in others:
        other.wait()
    assert alone.deltas == beside.deltas
    assert alone.deltas == rig.complete(asked).deltas
    assert 0 == beside.finished.usage.cached_tokens


def test_scored_prompts_do_not_depend_on_neighbours(rig: Rig) -> None:
    """echo + logprobs, in one array and apart: equal to the last bit."""
    one = call(VILLAGE, max_tokens=1, echo=True, logprobs=1)
    both = rig.complete(call("Something else.", VILLAGE, max_tokens=1, echo=True, logprobs=1))
    assert rig.complete(one).logprobs(0) == both.logprobs(1)


def test_seeds_repeat_and_samples_differ(rig: Rig) -> None:
    """The same seed gives the same samples, each sample its own text."""
    asked = call(VILLAGE, n=3, temperature=1.0, seed=11)
    first, again = rig.complete(asked), rig.complete(asked)
    assert first.texts() == again.texts()
    assert 3 == len(set(first.texts()))
    assert first.texts() != rig.complete(call(VILLAGE, n=3, temperature=1.0, seed=12)).texts()


def test_cached_tokens_are_exact(rig: Rig) -> None:
    """What a prompt shares with an earlier one is not computed again; the last token always is."""
    prompt = [*range(1000, 1100)]
    before = rig.scheduler.counters.cached_tokens
    first = rig.complete(call(prompt, max_tokens=2))
    second = rig.complete(call(prompt, max_tokens=2))
    third = rig.complete(call([*prompt[:40], 5, 6, 7], max_tokens=2, n=2))
    cached = [done.finished.usage.cached_tokens for done in (first, second, third)]
    assert [0, 99, 40] == cached
    assert before + 139 == rig.scheduler.counters.cached_tokens
    assert first.ids() == second.ids(), "the default model's bits do not depend on the split"
    assert [[[1]], [[3]]] == [done.finished.splits for done in (second, third)]


def test_a_stop_ends_the_text(rig: Rig) -> None:
    """Whatever tokens it is made of; neither the echo nor the stop itself counts."""
    whole = rig.complete(call(VILLAGE, max_tokens=20)).text()
    for stop in (whole[7:9], whole[11:16], whole[3:4]):
        done = rig.complete(call(VILLAGE, max_tokens=20, stop=[stop, "never"], echo=True))
        assert (VILLAGE + whole[: whole.index(stop)], "stop") == (done.text(), done.finish())


def test_max_tokens_zero(rig: Rig) -> None:
    """The prompt alone, with or without its logprobs; or nothing."""
    assert [""] == rig.complete(call("Hello", max_tokens=0)).texts()
    scored = rig.complete(call("Hello there", n=2, max_tokens=0, echo=True, logprobs=0))
    assert ["Hello there"] * 2 == scored.texts()
    assert ("length", ["Hello", " there"]) == (scored.finish(1), scored.logprobs(1).tokens)
    assert (2, 0) == (
        scored.finished.usage.prompt_tokens,
        scored.finished.usage.completion_tokens,
    )


def test_bias_and_penalties_choose(rig: Rig) -> None:
    """A banned token does not come, a pushed one does; logprobs stay those of the raw row."""
    first = rig.complete(call(VILLAGE, max_tokens=1, logprobs=1))
    token = first.ids()[0]
    banned = rig.complete(call(VILLAGE, max_tokens=1, logprobs=1, logit_bias={token: -100.0}))
    assert token != banned.ids()[0]
    assert first.logprobs().token_logprobs[0] == max(
        (banned.logprobs().top_logprobs[0] or {}).values()
    )
    pushed = rig.complete(call(VILLAGE, max_tokens=3, logit_bias={7: 100.0}))
    assert [7, 7, 7] == pushed.ids()
    varied = call(VILLAGE, max_tokens=3, logit_bias={7: 30.0}, presence_penalty=2.0)
    assert [7, 7, 7] == rig.complete(varied).ids()
    varied = call(VILLAGE, max_tokens=3, logit_bias={7: 100.0, 8: 99.0}, frequency_penalty=2.0)
    assert [7, 8, 7] == rig.complete(varied).ids()


def test_cancel_starts_no_further_step(rig: Rig) -> None:
    """After a cancel nothing more comes, and its sequences are free for others."""
    long = rig.start(call(VILLAGE, n=3, max_tokens=300, logit_bias={rig.model.eos: -100.0}))
    long.step()
    rig.scheduler.cancel(long.run)
    wait_until(lambda: rig.scheduler.running == 0, 1.0)
    steps = rig.scheduler.counters.steps
    rig.complete(call("Hello", max_tokens=1))
    assert steps + 1 == rig.scheduler.counters.steps
    assert None is long.end


def test_cancel_breaks_off_a_prefill(rig: Rig) -> None:
    """A long prompt that nobody wants any more does not run to the end of its step."""
    long = rig.start(call([5] * 500, max_tokens=1, deterministic=True))
    wait_until(lambda: rig.scheduler.running == 1)
    rig.scheduler.cancel(long.run)
    wait_until(lambda: rig.scheduler.running == 0, 0.2)
    assert len(rig.complete(call(VILLAGE, max_tokens=3)).ids()) == 3


def test_a_paused_call_waits(tiny_rig: Rig) -> None:
    """While its reader is slow it gets no step; others do; then it goes on."""
    ban = {token: -100.0 for token in tiny_rig.model.ends}
    slow = tiny_rig.start(call("abc", max_tokens=200, logit_bias=ban))
    slow.step()
    tiny_rig.scheduler.pause(slow.run, True)
    tiny_rig.complete(call("def", max_tokens=3))
    while not slow.messages.empty():
        slow.step()
    at = len(slow.ids())
    tiny_rig.complete(call("ghi", max_tokens=50))
    assert slow.messages.empty()
    tiny_rig.scheduler.pause(slow.run, False)
    assert at < 200 == len(slow.wait().ids())


def test_the_queue_is_bounded(tiny: Model) -> None:
    """Beyond the bound a call is refused with a time to come back; what waits is served."""
    with Rig(tiny, sequences=1, tokens=256, bounds=Bounds(2, 0.1)) as small:
        ban = {token: -100.0 for token in tiny.ends}
        started = [small.start(call("a", max_tokens=200, logit_bias=ban))]
        started[0].step()
        started += [small.start(call("b", max_tokens=1)) for _ in range(2)]
        refused = small.start(call("c", max_tokens=1)).end
        assert isinstance(refused, Refused)
        assert (429, "overloaded") == (refused.status, refused.code)
        assert refused.retry_after_s is not None
        assert 1 <= refused.retry_after_s <= 60
        assert 2 == small.scheduler.waiting
        assert [200, 1, 1] == [len(one.wait().ids()) for one in started]


class Faulty:
    """A context that fails to compute a certain token."""

    def __init__(self, context: Context, poison: int) -> None:
        self._context, self._poison = context, poison

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def decode(self, length: int) -> None:
        if self._poison in self._context.tokens[:length]:
            raise DecodeError(-3)
        self._context.decode(length)


def test_a_failed_decode_ends_its_own_call_only(tiny: Model) -> None:
    """The others of that step go on as if nothing had been, and the thread lives."""
    poison = 200
    ban = {token: -100.0 for token in (*tiny.ends, poison)}
    wanted = None
    for broken in (False, True):
        with Rig(
            tiny, 4, 256, wrap=lambda context: cast("Context", Faulty(context, poison))
        ) as rig:
            good = rig.start(call("abc", max_tokens=60, logit_bias=ban))
            good.step()
            if broken:
                bad = rig.complete(call([1, 2, poison], max_tokens=5, n=2))
                assert isinstance(bad.end, Refused)
                assert (500, "internal_error") == (bad.end.status, bad.end.code)
            ids = good.wait().ids()
            assert 4 == len(rig.complete(call("x", max_tokens=4, logit_bias=ban)).ids())
        wanted = wanted or ids
        assert wanted[:8] == ids[:8]
        assert 60 == len(ids)


class Held:
    """A context whose decodes wait, once told to."""

    def __init__(self, context: Context) -> None:
        self._context, self.waits = context, threading.Event()
        self.open = threading.Event()
        self.open.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def decode(self, length: int) -> None:
        if not self.open.is_set():
            self.waits.set()
            self.open.wait(10)
        self._context.decode(length)


def test_what_a_step_told_is_out_while_the_next_one_computes(tiny: Model) -> None:
    """No token waits for the one after it."""
    ban = {token: -100.0 for token in tiny.ends}
    made: list[Held] = []

    def wrap(context: Context) -> Context:
        made.append(Held(context))
        return cast("Context", made[0])

    with Rig(tiny, 2, 256, wrap=wrap) as rig:
        stream = rig.start(call("abc", max_tokens=200, logit_bias=ban))
        stream.step()
        made[0].open.clear()
        assert made[0].waits.wait(10)
        while not stream.messages.empty():
            stream.step()
        told = len(stream.ids()), rig.scheduler.counters.generated_tokens
        made[0].open.set()
        assert told[0] == told[1] < len(stream.wait().ids())


QUICK = Bounds(queue_max=64, prefill_budget_s=1e-5)
"""A budget of less than a token: every prompt of more than a few is long."""
LONG = [7 + at % 200 for at in range(150)]


class Closed:
    """A context that takes nothing from another one."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getattr__(self, name: str) -> object:
        return getattr(self._context, name)

    def adopt(self, sequence: int, state: Bytes) -> bool:
        return self._context.adopt(sequence, state[:-8])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("held", [0, 80])
def test_a_long_prompt_beside_a_stream(tiny: Model, closed: bool, held: int) -> None:
    """It is computed in large chunks aside, or where that does not work here: the stream goes on,
    the answer is the same, its samples share it, a prefix counts."""
    ban = {token: -100.0 for token in tiny.ends}
    asked = call(LONG, max_tokens=3, n=2, logit_bias=ban)
    with Rig(tiny, 4, 256) as calm:
        wanted = calm.complete(asked)
    wrap = (lambda context: cast("Context", Closed(context))) if closed else lambda context: context
    with Rig(tiny, 4, 256, bounds=QUICK, wrap=wrap) as rig:
        if held:
            rig.complete(call([*LONG[:held], 3], max_tokens=1))
        stream = rig.start(call("abc", max_tokens=250, logit_bias=ban))
        stream.step()
        found = rig.complete(asked)
        assert wanted.ids(0) == found.ids(0) == found.ids(1)
        assert held == found.finished.usage.cached_tokens
        (splits,) = found.finished.splits
        if closed:
            assert (150, True) == (sum(splits), len(splits) > 1), "anew, in small chunks"
        else:
            assert [150 - held] == splits
        assert 250 == len(stream.wait().ids())
        assert 150 + 249 <= rig.scheduler.counters.batch_tokens, "steps aside are counted, too"
        assert 149 == rig.complete(asked).finished.usage.cached_tokens


def test_a_long_prompt_may_be_cancelled(tiny: Model) -> None:
    """Its sequence is free at once, and the next long one is computed aside again."""
    ban = {token: -100.0 for token in tiny.ends}
    with Rig(tiny, 2, 256, bounds=QUICK) as rig:
        streams = [rig.start(call("abc", max_tokens=240, logit_bias=ban))]
        streams[0].step()
        for _ in range(5):
            dropped = rig.start(call(LONG, max_tokens=1))
            rig.scheduler.cancel(dropped.run)
        found = rig.complete(call(LONG, max_tokens=1)).finished.splits
        assert 240 == len(streams[0].wait().ids())
        assert [[150]] == found


def test_stop_ends_the_thread_in_the_middle(tiny: Model) -> None:
    """A thread that computes for long ends at once when told to."""
    rig = Rig(tiny, 2, 256)
    with rig:
        rig.start(call("abc", max_tokens=250))
    assert not np.any([thread.is_alive() for thread in [rig._thread]])


def test_a_stop_is_never_overlooked(tiny: Model) -> None:
    """A stop (or a call) that comes while the thread is between two looks still wakes it."""
    rig = Rig(tiny, 2, 256)

    class Late(threading.Event):
        """Somebody stops the scheduler right before the flag is taken down."""

        def clear(self) -> None:
            rig.scheduler.stop()
            super().clear()

    rig.scheduler._wake = Late()
    rig.scheduler._wake.set()
    rig._thread.start()
    rig._thread.join(10)
    assert not rig._thread.is_alive()
    rig.context.close()
