"""A key whose rate is soon used up, for the clients' retries."""

import json
import uuid

import pytest

from tests.running import Server

PER_MINUTE = 60


@pytest.fixture
def limited_key(server: Server) -> str:
    """A key that may ask once a second on average."""
    name = f"limited-{uuid.uuid4().hex[:8]}"
    words = ["key", "create", name, "--requests-per-minute", str(PER_MINUTE), "--json"]
    return str(json.loads(server.cli(*words))["value"])
