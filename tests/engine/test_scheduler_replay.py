"""Replays: what comes after received ids is byte for byte what would have come without the cut."""

import pytest

from tests.engine.rig import Rig, call
from tests.engine.test_scheduler import VILLAGE

CODE = (
    "import json\nimport pathlib\n\n\nclass Settings:\n    def __init__(self, path):\n"
    "        self.path = pathlib.Path(path)\n        self.values = {}\n\n    def load(self):\n"
    "        with self.path.open() as f:\n            self.values = json.load(f)\n"
    "        return self\n\n    def save(self):\n"
)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"temperature": 0.9, "seed": 4, "frequency_penalty": 0.7, "top_p": 0.95},
    ],
)
@pytest.mark.parametrize("prompt", [VILLAGE, CODE])
def test_replay_is_exact(rig: Rig, prompt: str, fields: dict[str, float]) -> None:
    """Deterministic calls cut somewhere: later deltas are equal to the last bit of a logprob."""
    asked = call(
        prompt, max_tokens=18, logprobs=2, stop=["\n\n\n", "zzz"], deterministic=True, **fields
    )
    assert len(rig.model.tokenize(prompt)) >= 60
    whole = rig.complete(asked)
    for cut in (1, 13):
        received = whole.deltas[:cut]
        ids = [token for delta in received for token in delta.token_ids or ()]
        again = rig.complete(asked, replay=[ids])
        assert whole.deltas[cut:] == again.deltas
        assert whole.finished.usage == again.finished.usage


def test_replay_of_several_choices(rig: Rig) -> None:
    """Each goes on where it was: one not begun, one in the middle, one at its end."""
    asked = call(VILLAGE, n=3, max_tokens=8, temperature=1.0, seed=2, echo=True, deterministic=True)
    whole = rig.complete(asked)
    received = [[], whole.ids(1)[:3], whole.ids(2)]
    again = rig.complete(asked, replay=received, echoed=[False, True, True])
    assert (VILLAGE + rig.model.detokenize(whole.ids(0)).decode()) == again.text(0)
    assert whole.of(1)[4:] == again.of(1)
    assert [] == again.of(2)
    assert whole.finished.usage == again.finished.usage


def test_replay_completes_held_text(tiny_rig: Rig) -> None:
    """Noise of half characters, cut after every token: what was held back is not lost."""
    for seed in range(6):
        asked = call(
            "x" * 70,
            max_tokens=20,
            temperature=1.0,
            seed=seed,
            logprobs=1,
            stop=["ab", "\N{REPLACEMENT CHARACTER}w"],
            deterministic=True,
        )
        whole = tiny_rig.complete(asked)
        for cut in range(1, len(whole.deltas)):
            ids = [token for delta in whole.deltas[:cut] for token in delta.token_ids or ()]
            assert whole.deltas[cut:] == tiny_rig.complete(asked, replay=[ids]).deltas
