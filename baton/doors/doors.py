"""Every door, by the name that its path has in `http.paths`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from baton.doors.door import Door
from baton.doors.fim import FimDoor
from baton.doors.infill import InfillDoor

DOORS: Mapping[str, Callable[[bytes], Door]] = MappingProxyType(
    {"fim": FimDoor, "infill": InfillDoor}
)
