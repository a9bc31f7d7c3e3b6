"""The evaluation of continuations judges seams, not knowledge; its façade is ChatML."""

import pytest

from bench.continuation import Judged, judged, page
from bench.continuation_texts import HOLES, TEXTS, Text
from tests.fakes.chat_facade import templated

WORD = TEXTS[0]


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        (WORD, " Paris.", (True, False, False, False, False)),
        (WORD, ", they say, Paris.", (True, False, False, False, False)),
        (WORD, "Paris.", (False, False, False, False, False)),
        (WORD, "The capital of France is Paris.", (False, True, False, False, False)),
        (WORD, " Here is the continuation: Paris", (False, False, True, False, False)),
        (WORD, " Paris</unfinished_text>", (False, False, True, False, False)),
        (WORD, "", (False, False, False, True, False)),
        (Text("for x in ", r"\S", ":\n    print(x) # all"), "y:\n    print(x) # all",
         (False, False, False, False, True)),
    ],
)  # fmt: skip
def test_what_is_said_of_an_answer(
    text: Text, answer: str, expected: tuple[bool, bool, bool, bool, bool]
) -> None:
    """Exact is what begins rightly and has no other fault."""
    assert Judged(*expected, prompt=text.prompt, answer=answer) == judged(text, answer)


def test_the_sets_are_what_the_page_says() -> None:
    """Texts without a suffix, holes with one, none twice; and it says whose figures they are."""
    assert (40, 20) == (len({text.prompt for text in TEXTS}), len({hole.prompt for hole in HOLES}))
    assert not any(text.suffix for text in TEXTS)
    assert all(hole.suffix for hole in HOLES)
    shown = page({"texts, native": [judged(WORD, " Paris."), judged(WORD, "Paris.")]})
    assert "| texts, native | 2 | 1 (50 %) | 0 (0 %) |" in shown
    assert "tiny model" in shown


def test_messages_in_the_models_own_template() -> None:
    """Each turn ended but the one that is continued."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert templated({"messages": messages[:1]}) == (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    )
    assert templated({"messages": messages, "continue_final_message": True}) == (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb"
    )
