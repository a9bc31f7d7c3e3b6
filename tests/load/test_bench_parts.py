"""The smaller parts of the benchmarks run and make their tables: briefly, no figures to quote."""

import pathlib

from bench import (
    length_bench,
    machine,
    memory_bench,
    start_bench,
    streams_bench,
    workers_bench,
)
from bench.relays import CHUNKS, Relay
from tests.load.conftest import Stage


def test_memory(stage: Stage) -> None:
    """Eleven points of each of the two workers; a worker is neither empty nor huge."""
    folder, relays = stage
    found = memory_bench.measured(relays[-1], 0.2, folder)
    assert [2] * 11 == [len(point) for point in found["resident_mib"]]
    assert all(20 < one < 400 for point in found["resident_mib"] for one in point)
    assert (True, 0) == (found["answers"] > 0, found["bad_answers"])
    page = memory_bench.markdown({"machine": machine.facts(), **found})
    assert "| after | worker 0 | worker 1 |" in page
    assert "\n| 0 s | " in page
    assert "answers (saturated), 0 not whole" in page


def test_memory_at_a_rate(stage: Stage) -> None:
    """As many answers as were asked for, and the page says how many."""
    folder, relays = stage
    found = memory_bench.measured(relays[-1], 0.5, folder, rate=100.0)
    assert 30 <= found["answers"] <= 60
    page = memory_bench.markdown({"machine": machine.facts(), **found})
    assert "answers (100 a second), 0 not whole" in page


def test_slope() -> None:
    """Of a straight line it is the line's; what jumps about a level has none."""
    assert 0.5 == memory_bench.slope([0.0, 1.0, 2.0], (1.0, 1.5, 2.0))
    assert abs(memory_bench.slope([0.0, 1.0, 2.0, 3.0], (1.0, 2.0, 2.0, 1.0))) < 1e-9


def test_prompt_lengths(stage: Stage) -> None:
    """Every length is answered whole by both, also 1 MB; longer prompts cost more."""
    folder, relays = stage
    found = length_bench.measured(relays[1:], relays[0], 1, folder, seconds=0.05)
    assert 0 == found["summary"]["bad_answers"]
    assert found["slope_us_per_kb"][0]["baton"] > 0
    page = length_bench.markdown({"machine": machine.facts(), **found})
    assert "\n| 1000 kB | " in page
    assert "\n| 2,000 token ids | " in page
    assert "\n| each further kB | " in page


def test_prompts_are_as_long_as_they_say() -> None:
    """In bytes, and in token ids."""
    lengths = [len(prompt) for prompt in length_bench.prompts().values()]
    assert [1_000, 10_000, 100_000, 1_000_000, 1_000_000, 2_000] == lengths


def test_workers(stage: Stage) -> None:
    """The ratio of two workers to one, here to nginx in its place."""
    folder, (direct, limit, own) = stage
    one = Relay(workers_bench.ONE, limit.port, limit.session, limit.key, limit.model)
    two = Relay(workers_bench.TWO, own.port, own.session, own.key, own.model)
    found = workers_bench.measured([one, two], direct, 1, folder, seconds=0.1)
    assert found["ratio"]["median"] > 1
    page = workers_bench.markdown({"machine": machine.facts(), **found})
    assert f"Two ÷ one in one round: {found['ratio']['median']:.2f} (" in page
    assert f"Two ÷ one, each worker as busy: {found['as_busy']['median']:.2f} (" in page


def test_many_streams(stage: Stage) -> None:
    """All chunks of every stream arrive, and the page has a row for each relay."""
    folder, relays = stage
    found = streams_bench.measured(relays, 1, folder, connections=8, seconds=0.1)
    assert 0 == found["summary"]["bad_answers"]
    chunks = {run["answers"] for run in found["runs"]}
    assert min(chunks) >= 800, "eight streams at least"
    assert {0} == {count % CHUNKS for count in chunks}, "and all of them whole"
    page = streams_bench.markdown({"machine": machine.facts(), **found})
    assert all(f"\n| {name} | " in page for name in ("direct", "nginx", "baton"))


def test_cold_start(tmp_path: pathlib.Path) -> None:
    """A start is timed and leaves a data folder; the page has the median, least and most."""
    home = tmp_path / "home"
    took_s, used_s = start_bench.start_s(home)
    assert (True, True) == (0 < used_s < 4 * took_s, (home / "baton.db").is_file())
    rounds = [
        {**dict.fromkeys(start_bench.TITLES, used_s), "first_s": took_s, "again_s": again_s}
        for again_s in (0.5, 0.3, 0.4)
    ]
    page = start_bench.markdown({"machine": machine.facts(), "rounds": rounds})
    assert "| start again, until ready | 0.40 | 0.30 to 0.50 |" in page
