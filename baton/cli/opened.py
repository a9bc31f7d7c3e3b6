"""The store and the settings as commands need them."""

import contextlib
from collections.abc import Iterator

from baton import config
from baton.cli.main import CommandError
from baton.stores.base import KeyRecord, PartyRecord
from baton.stores.book import Store, open_store

ACTOR = "cli"
"""Who the change log names for what a command changed."""


@contextlib.contextmanager
def opened(settings: config.Settings | None = None) -> Iterator[Store]:
    """The store of this machine's settings, closed at the end."""
    with contextlib.closing(open_store(settings or config.load())) as store:
        yield store


def one_party(store: Store, text: str) -> PartyRecord:
    """The organisation, team or user whose id or name is `text`; CommandError when there is none,
    or more than one."""
    found = store.parties.find(text)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f"there is no account {text!r}: see `baton account list`")
    ids = ", ".join(f"{each.id} ({each.kind})" for each in found)
    raise CommandError(f"there are several accounts {text!r}: say which one by its id ({ids})")


def one_key(store: Store, text: str) -> KeyRecord:
    """The key whose id or name is `text`; CommandError when there is none, or more than one."""
    found = store.keys.find(text)
    if not found:
        raise CommandError(f"there is no key '{text}' (baton key list shows them)")
    living = [key for key in found if key.revoked_us is None] or found
    if len(living) > 1:
        ids = ", ".join(key.id for key in living)
        raise CommandError(f"several keys have the name '{text}': name one by its id ({ids})")
    return living[0]
