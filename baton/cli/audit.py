"""`baton audit`: every charge worked out anew, every sum made again."""

import typer

from baton.cli.money import usd
from baton.cli.opened import opened
from baton.cli.output import AsJson, print_fields, print_json
from baton.ledger import audit

FAULTY = 1


def run(as_json: AsJson = False) -> None:
    """Check the whole ledger, also while Baton runs. Exit code 1 when anything is wrong."""
    with opened() as store:
        found = audit.run(store)
    if as_json:
        print_json(found)
    else:
        print_fields(
            {
                "requests": found.requests,
                "charge": f"${usd(found.charge_nano)}",
                "overrun": f"${usd(found.overrun_nano)}",
                "cost": f"${usd(found.cost_nano)}",
                "interrupted": found.interrupted,
                "not folded yet": found.unfolded,
                "over their limit": found.over_limit,
                "took": f"{found.seconds:.3f} s",
                "verdict": "right" if not found.faults else f"{len(found.faults)} faults",
            },
            as_json=False,
        )
        for fault in found.faults:
            print(f"- {fault}")
    if found.faults:
        raise typer.Exit(FAULTY)
