"""Which modules a start loads, in an interpreter of its own."""

import subprocess
import sys
from collections.abc import Iterable


def loaded(module: str, among: Iterable[str]) -> set[str]:
    """Those of `among` that importing `module` brings along."""
    code = f"import sys, {module}; print(*sys.modules)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    present = set(done.stdout.split())
    assert module in present
    return present.intersection(among)
