"""The limit of open files is raised as far as it goes, and callers are let in accordingly."""

import subprocess
import sys

import pytest

CODE = """import resource, sys
from baton.files import enough_for
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(enough_for(connections), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "expected"),
    [
        (256, 256, 20_000, "96 256 256"),
        (256, 1024, 20_000, "480 1024 1024"),
        (256, 1024, 100, "100 264 1024"),
        (1024, 1024, 100, "100 1024 1024"),
        (50, 50, 100, "1 50 50"),
    ],
)
def test_as_many_as_there_are_files_for(
    soft: int, hard: int, connections: int, expected: str
) -> None:
    """Two for each caller and some for ourselves; never lowered, never more than was asked for."""
    words = [sys.executable, "-c", CODE, str(soft), str(hard), str(connections)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert expected == done.stdout.strip()
