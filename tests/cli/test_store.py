"""`baton store prune`: old requests go to a file."""

import gzip

from tests.cli.conftest import Cli


def test_prune(cli: Cli) -> None:
    """A new store has nothing old: an empty archive; a young day and a wrong one are refused."""
    file = cli.home.parent / "old.gz"
    words = ["store", "prune", "--archive", str(file), "--before"]
    assert {"requests": 0, "charge": "0.00", "archive": str(file)} == cli.ok(*words, "2020-01-01")
    assert b"" == gzip.decompress(file.read_bytes())
    assert 1 == cli(*words, "2020-01-01").code
    file.unlink()
    assert 1 == cli(*words, "2999-01-01").code
    assert 1 == cli(*words, "yesterday").code
