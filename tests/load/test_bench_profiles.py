"""Where the time goes: samples and bytecodes find their names, and the page has all of them."""

from bench import machine, opcodes, profile_bench

SCRIPT = """\
  534/534        7f50f8efc38f _PyEval_EvalFrameDefault (/usr/lib/libpython3.11.so.1.0)
  534/534        7f50f8efc38f [unknown] (/usr/bin/python3.11)
  534/626    ffffffff81000000 entry_SYSCALL_64 ([kernel.kallsyms])
  534/534        7f50f8f999a8 json_decode (x) (/v/site-packages/msgspec/_core.cpython-311.so)
  534/534        7f50f8f999a8 nobody (/usr/lib/libz.so.1)
no sample
"""


def test_samples_by_thread_and_library() -> None:
    """The loop's thread has the process's number."""
    assert {
        ("loop", "Python's interpreter"): 2,
        ("other threads", "the system"): 1,
        ("loop", "msgspec (JSON)"): 1,
        ("loop", "other libraries"): 1,
    } == profile_bench.by_library(SCRIPT)


def test_bytecodes_by_stage() -> None:
    """Each file belongs to the first stage that names it."""
    counts = opcodes.Counts()
    for file, number in (
        ("baton/http/connection.py", 3),
        ("baton/upstreams/response.py", 2),
        ("baton/upstreams/openai.py", 5),
        ("asyncio/tasks.py", 7),
    ):
        counts.opcodes[file, "f"] = number
    stages = profile_bench.by_stage(counts)
    assert [7, 5, 3, 2] == [number for _, number in stages.most_common()]
    assert 7 == stages["Python's library and uvicorn"]


def test_the_page() -> None:
    """Shares of the median cost; the interpreter's part once more by stage."""
    samples = {"loop: Python's interpreter": 60, "loop: the system": 39, "loop: SQLite": 1}
    runs = [
        {"cpu_us_each": cost, "other_cores": 0.1, "samples": samples}
        for cost in (90.0, 100.0, 300.0)
    ]
    stages = {"who asks": 750.0, "decoding": 250.0}
    page = profile_bench.markdown(
        {
            "machine": machine.facts(),
            "sampled": {name: runs for name in profile_bench.TITLES},
            "bytecodes": {name: stages for name in profile_bench.TITLES},
        }
    )
    assert 2 == page.count("µs of processor time")
    for row in (
        "| loop: the system | 39.0 % | 39.0 |",
        "| who asks | 75.0 % | 45.0 |",
        "Of the interpreter's 60.0 µs in the loop, by its 1,000 bytecodes:",
    ):
        assert row in page
