"""How processes are: sums, and the longest wait."""

from baton.telemetry.condition import Condition


def test_several_processes_add_up() -> None:
    """Counts of processes are added; of their waits the longest is told."""
    total = Condition()
    total.add(Condition(journals_failing=1, unfolded_s=3, counting_apart=1))
    total.add(Condition(unfolded_s=90, counting_apart=1))
    total.add(Condition(unfolded_s=4))
    assert Condition(journals_failing=1, unfolded_s=90, counting_apart=2) == total
