"""By which names Baton may be asked for: the list of BATON_ALLOWED_HOSTS. Pure.

Theory of operation. A page of another site may let its own name lead to this machine (DNS
rebinding). To a browser Baton's answers are then that site's, which may read them, behind any
firewall. But the browser sends that name as Host, and no page can make it send another: so a Host
that is not on the list is refused, as is what came to the wrong server. `X-Forwarded-Host` is not
looked at: anybody may write it, and a proxy in front can pass the Host on.

Where there is a list, these match beside it: the names in BATON_PUBLIC_URL and BATON_HOST, and this
machine's own, by which commands and checks on it ask. None of them can be another site's name.
A network on the list matches the addresses in it, by which scrapers ask within a cluster.
"""

import ipaddress
import re
from collections.abc import Iterable

OWN = ("localhost", "127.0.0.1", "::1")
"""Names of this machine for itself."""
_HOST = re.compile(
    r"(?:([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?|\[([0-9a-f:.]+)\])(?::\d*)?", re.IGNORECASE | re.ASCII
)


class Hosts:
    """Names that match, whatever their port, their case, and a dot at their end."""

    def __init__(self, listed: Iterable[str], own: Iterable[str] = ()) -> None:
        """Listed as `misset` lets them be: names, `*.example.com` for all that end so, addresses
        with or without brackets, networks. Own ones as a URL has them."""
        entries = [each.lower() for each in listed]
        networks = [each for each in entries if "/" in each]
        names = [each.strip("[]").removesuffix(".") for each in (*entries, *map(sent, own), *OWN)]
        self._networks = [ipaddress.ip_network(each, strict=False) for each in networks]
        self._domains = tuple(each[1:] for each in names if each.startswith("*."))
        self._names = frozenset(each.lower() for each in names)

    def have(self, host: str) -> bool:
        """Whether a request may name this one, as its Host or in its target."""
        name = bare(host)
        if not name:
            return False
        return name in self._names or name.endswith(self._domains) or self._within(name)

    def _within(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name) if self._networks else None
        except ValueError:
            return False
        return address is not None and any(address in each for each in self._networks)


def bare(host: str) -> str:
    """Without port and brackets, in lower case; "" where it is no host.

    >>> bare("Relay.Example.Org.:443"), bare("[::1]:8080"), bare("a@b")
    ('relay.example.org', '::1', '')
    """
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found is not None else ""


def sent(name: str) -> str:
    """As clients write a name of the operator's: others than ASCII as `xn--…`."""
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def allowed(setting: str, own: Iterable[str] = ()) -> Hosts | None:
    """The hosts of BATON_ALLOWED_HOSTS, comma-separated; None where any will do."""
    listed = [each.strip() for each in setting.split(",") if each.strip()]
    return Hosts(listed, own) if listed else None
