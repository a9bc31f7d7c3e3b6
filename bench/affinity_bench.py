"""What affinity finds in the caches of several replicas: simulated, on any machine the same."""

from tests.fakes.shared_prefixes import WORKLOADS, simulate

HEAD = """| workload | replicas | relay | cached, of one endless cache | requests, max / mean | \
under way, max / mean |
|---|---|---|---|---|---|"""
NAMES = "abcdefgh"


def run() -> str:
    """A Markdown table: each workload on 2, 4 and 8 replicas, with and without affinity."""
    rows = [HEAD]
    for workload in WORKLOADS:
        for replicas in (2, 4, 8):
            for blind in (True, False):
                found = simulate(workload, NAMES[:replicas], blind=blind)
                relay = "by load alone" if blind else "affinity"
                rows.append(
                    f"| {workload} | {replicas} | {relay} | {found.share:.3f}"
                    f" | {found.requests:.2f} | {found.under_way:.2f} |"
                )
    return "\n".join(rows)
