"""Examples that can be copied: they parse, and ask for what they say."""

import ast
import json
import shlex
import shutil
import subprocess

import msgspec
import pytest

from baton.protocol import RequestLimits, decode
from baton.web.examples import BODIES, body_of, curl, examples
from baton.web.operation import Access, AnyOperation
from baton.web.routes import COMPLETIONS, OPERATIONS

ADDRESS = "https://relay.test"
HOSTILE = """it's "quoted" $(id) `id` \\ 模型"""


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.id)
def test_a_curl_line_says_exactly_the_call(one: AnyOperation) -> None:
    """Method, address, key and body, as a shell reads them."""
    words = shlex.split(curl(one, ADDRESS, "m").replace("\\\n", " "))
    assert "curl" == words[0]
    assert ADDRESS + one.public_path in words
    assert (one.access is not Access.OPEN) == ("Authorization: Bearer $BATON_KEY" in words)
    given = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    assert one.method == given
    body = body_of(one, "m")
    assert (body is None) == ("-d" not in words)
    if body is not None:
        assert body == json.loads(words[words.index("-d") + 1])


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one.has_body], ids=lambda one: one.id)
def test_an_example_body_is_accepted(one: AnyOperation) -> None:
    """Every operation with a body has an example, and its own type takes it."""
    body = json.dumps(BODIES[one.id]).encode()
    if one is COMPLETIONS:
        assert decode(body, RequestLimits()).stream
    else:
        msgspec.json.decode(body, type=one.body)


def test_a_hostile_model_name_stays_a_name() -> None:
    """Whatever an operator called a model, the example is one command with that name in it."""
    words = shlex.split(curl(COMPLETIONS, ADDRESS, HOSTILE).replace("\\\n", " "))
    assert HOSTILE == json.loads(words[-1])["model"]
    code = {each.name: each.code for each in examples(COMPLETIONS, ADDRESS, HOSTILE)}
    literals = [
        node.value for node in ast.walk(ast.parse(code["Python"])) if type(node) is ast.Constant
    ]
    assert HOSTILE in literals
    assert f"{ADDRESS}/v1" in literals


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_node_example_is_a_module() -> None:
    """Node's own parser takes it."""
    code = {each.name: each.code for each in examples(COMPLETIONS, ADDRESS, HOSTILE)}["Node.js"]
    done = subprocess.run(
        ["node", "--input-type=module", "--check"], input=code, text=True, capture_output=True,
        check=False, timeout=20,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
