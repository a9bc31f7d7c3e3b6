"""Budgets of several keys and parties at once, as the bars show them."""

from baton.stores.base import BudgetRecord
from tests.fakes.web_parts import Web
from tests.web.console.booked import book
from tests.web.console.browsing import visitor


def test_bars_show_what_was_spent(site: Web) -> None:
    """A key's own budget and its month's; 20 nano-USD of each, by `booked`."""
    budgets = (BudgetRecord(amount=40, unit="tokens", span="day"),)
    site.key(budget_nano=80, budgets=budgets)
    [record] = [each for each in site.parts.store.keys.all() if each.budgets == budgets]
    book(site.parts.store, record, "balances-1")
    page = visitor(site).get(f"/console/keys/{record.id}").text
    assert "$0.000000020" in page
    assert 'class="used" width="25.0"' in page
    assert "40 tokens" in page
