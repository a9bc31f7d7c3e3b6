"""`baton doctor`: is everything there, and if not, what to do."""

import typer

from baton import config
from baton.cli import checks
from baton.cli.main import FAILED
from baton.cli.output import AsJson, print_json
from baton.cli.rates_check import shared_rates
from baton.stores.book import open_store

SIGNS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED "}


def run(as_json: AsJson = False) -> None:
    """Check the installation and say what to do. Exit code 1 when something must be done."""
    findings = examine(config.load())
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            print(f"{SIGNS[finding.state]}  {finding.check}: {finding.message}")
            if finding.remedy:
                print(f"         → {finding.remedy}")
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(FAILED)


def examine(settings: config.Settings) -> list[checks.Finding]:
    """All checks, in the order in which they build on each other."""
    store, upstreams = checks.store(settings, lambda: open_store(settings))
    return [
        checks.python(),
        checks.cpu(),
        checks.library(settings),
        checks.settings_together(settings),
        checks.model(settings),
        checks.folder(settings),
        store,
        *(checks.port(settings, side) for side in checks.sides(settings)),
        *(checks.address(side) for side in checks.sides(settings)),
        *([shared_rates(settings)] if settings.redis_url else []),
        *(checks.upstream(record) for record in upstreams),
    ]
