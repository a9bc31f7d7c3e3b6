"""Commands open the store that the settings name, and close it."""

import pytest

from baton.cli.main import CommandError
from baton.cli.opened import one_key, opened
from tests.cli.conftest import Cli


def test_store_of_the_settings_is_opened(cli: Cli) -> None:
    """The book lies in BATON_HOME."""
    with opened() as store:
        assert cli.home == store.home


def test_key_is_found_by_id_or_name(cli: Cli) -> None:
    """A living key is preferred to revoked ones of its name; unknown names are refused."""
    made = cli.ok("key", "create", "alice")
    with opened() as store:
        assert made["id"] == one_key(store, "alice").id == one_key(store, made["id"]).id
        with pytest.raises(CommandError, match="no key 'bob'"):
            one_key(store, "bob")
