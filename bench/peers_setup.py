"""The environments of LiteLLM and Portkey's gateway: python -m bench.peers_setup [NAME …]

Each is installed by its registry's ordinary client into a folder of its own that git ignores,
build/bench/peers/NAME. Nothing of it is a dependency of Baton or seen by it; removing the folder
removes it. Installing takes minutes. The packages that they bring are what the registry gives on
that day: `installed.json` in the folder keeps their versions, and marks a finished installation.
"""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

PLACE = pathlib.Path(__file__).parent.parent / "build" / "bench" / "peers"
INSTALL_TIMEOUT_S = 900.0
TOLD_CHARACTERS = 300


class PeerMissing(Exception):
    """A peer cannot be measured on this machine; the message says why."""


@dataclasses.dataclass(frozen=True)
class Package:
    """What is installed: its version, and the commands that do it into a folder."""

    version: str
    tools: tuple[str, ...]
    commands: Callable[[pathlib.Path], list[list[str]]]
    listing: Callable[[pathlib.Path], list[str]]


def _litellm(place: pathlib.Path) -> list[list[str]]:
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    wanted = [f"litellm[proxy]=={PACKAGES['litellm'].version}", "uvloop", "httptools"]
    return [[sys.executable, "-m", "venv", str(place)], [*pip, *wanted]]


def _portkey(place: pathlib.Path) -> list[list[str]]:
    wanted = f"@portkey-ai/gateway@{PACKAGES['portkey'].version}"
    flags = ["--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts"]
    return [["npm", "install", *flags, "--prefix", str(place), wanted]]


PACKAGES = {
    "litellm": Package(
        "1.100.5",
        (),
        _litellm,
        lambda place: [str(place / "bin" / "python"), "-m", "pip", "list", "--format", "json"],
    ),
    "portkey": Package(
        "1.15.2",
        ("node", "npm"),
        _portkey,
        lambda place: ["npm", "ls", "--all", "--json", "--prefix", str(place)],
    ),
}


def installed(name: str, root: pathlib.Path = PLACE) -> pathlib.Path:
    """The folder of a peer's environment; made now where it is missing or of another version."""
    package, place = PACKAGES[name], root / name
    mark = place / "installed.json"
    if (
        mark.is_file()
        and json.loads(mark.read_text(encoding="utf-8"))["version"] == package.version
    ):
        return place
    if missing := [tool for tool in package.tools if shutil.which(tool) is None]:
        raise PeerMissing(f"{' and '.join(missing)} not installed; run: sh bench/setup.sh peers")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for command in package.commands(place):
        _run(command)
    packages = json.loads(_run(package.listing(place)))
    found = {"version": package.version, "packages": packages}
    mark.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return place


def _run(command: Sequence[str]) -> str:
    """Its output; PeerMissing with the end of what it said where it failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"cannot be installed: {error}") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-TOLD_CHARACTERS:]
        raise PeerMissing(f"cannot be installed: {command[0]} ended with {done.returncode}: {said}")
    return done.stdout


def main(names: Sequence[str]) -> int:
    failed = 0
    for name in names or list(PACKAGES):
        try:
            print(f"{name} {PACKAGES[name].version}: {installed(name)}")
        except PeerMissing as reason:
            print(f"{name} {PACKAGES[name].version}: {reason}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
