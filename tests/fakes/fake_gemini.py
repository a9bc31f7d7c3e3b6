"""Google's generateContent: model in the path, camel case, usage on every event, no end mark.

The stream says finishReason STOP on every event (as some models do), sends three pieces an event,
with CRLF line ends; a scripted finish_reason "blocked" answers without a candidate. A wrong key is
a 400 with a reason in its details, too many requests a 429 with a delay there.
"""

import json
import re
from collections.abc import Iterator

from tests.fakes.fake_chat import Asked, FakeChat, Json, Refused, tokens, unwrapped
from tests.fakes.faults import Fault
from tests.fakes.knobs import knobs_of
from tests.fakes.word_model import Generated, Sampling

CONTEXT_TOKENS = 4096
OUTPUT_TOKENS_MAX = 65536
ROUTE = re.compile(r"/models/[^/:]+:(generateContent|streamGenerateContent\?alt=sse)$")
REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


class FakeGemini(FakeChat):
    dialect = "gemini"
    key_header = "x-goog-api-key"
    thoughts = 0
    """Tokens of thought, told and counted."""

    def understood(self, path: str, body: Json) -> Asked | None:
        route = ROUTE.search(path)
        if route is None:
            return None
        texts = {each["role"]: each["parts"][0]["text"] for each in body["contents"]}
        wrapped = body["systemInstruction"]["parts"][0]["text"] + "".join(texts.values())
        if tokens(wrapped) > CONTEXT_TOKENS:
            message = (
                f"The input token count ({tokens(wrapped)}) exceeds the maximum number of tokens"
                f" allowed ({CONTEXT_TOKENS})."
            )
            raise refused(400, message, "INVALID_ARGUMENT")
        settings = body["generationConfig"]
        limit = settings["maxOutputTokens"]
        if limit > OUTPUT_TOKENS_MAX:
            message = (
                f"Unable to submit request because it has a maxOutputTokens value of {limit} but"
                " the supported range is from 1 (inclusive) to"
                f" {OUTPUT_TOKENS_MAX + 1} (exclusive)."
            )
            raise refused(400, message, "INVALID_ARGUMENT")
        names = {"presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty"}
        named = {names.get(name, name): value for name, value in settings.items()}
        knobs = knobs_of({**named, "top_p": settings.get("topP")})
        seed = settings.get("seed", 0)
        sampling = Sampling(limit, settings["temperature"], seed, (), 0, *knobs)
        prompt = unwrapped(texts["user"], texts.get("model"))
        return Asked(prompt, wrapped, sampling, route[1] != "generateContent")

    def shown(self, asked: Asked, made: Generated, fault: Fault) -> Json:
        events = list(self._events(asked, made, fault, pieces=len(made.pieces) or 1))
        return events[-1]

    def frames(self, asked: Asked, made: Generated, fault: Fault) -> list[bytes]:
        return [
            f"data: {json.dumps(event)}\r\n\r\n".encode()
            for event in self._events(asked, made, fault, pieces=3)
        ]

    def unauthorized(self) -> Refused:
        return refused(
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        )

    def _events(self, asked: Asked, made: Generated, fault: Fault, pieces: int) -> Iterator[Json]:
        stamp = {"modelVersion": "gemini-fake", "responseId": "fake"}
        if made.finish_reason == "blocked":
            usage = fault.usage or self._usage(asked, 0)
            feedback = {"blockReason": "PROHIBITED_CONTENT"}
            yield {"promptFeedback": feedback, "usageMetadata": usage, **stamp}
            return
        starts = range(0, len(made.pieces) or 1, pieces)
        for start in starts:
            last = start == starts[-1]
            parts: list[Json] = [{"text": "".join(made.pieces[start : start + pieces])}]
            if self.thoughts and start == 0:
                parts.insert(0, {"text": "Hm.", "thought": True})
            reason = REASONS.get(made.finish_reason, made.finish_reason) if last else "STOP"
            count = made.counted if last else start + pieces
            yield {
                "candidates": [
                    {
                        "content": {"parts": parts, "role": "model"},
                        "finishReason": reason,
                        "index": 0,
                        "safetyRatings": [{"category": "HARM", "probability": "NEGLIGIBLE"}],
                    }
                ],
                "usageMetadata": fault.usage or self._usage(asked, count),
                **stamp,
            }

    def _usage(self, asked: Asked, count: int) -> Json:
        prompt = tokens(asked.wrapped)
        found: Json = {"promptTokenCount": prompt}
        if count:
            found["candidatesTokenCount"] = count
        if self.thoughts:
            found["thoughtsTokenCount"] = self.thoughts
        total = prompt + count + self.thoughts
        details = [{"modality": "TEXT", "tokenCount": prompt}]
        return {**found, "totalTokenCount": total, "promptTokensDetails": details}


def refused(status: int, message: str, kind: str, *details: Json) -> Refused:
    said = {"code": status, "message": message, "status": kind, "details": list(details)}
    return Refused(status, {"error": said})
