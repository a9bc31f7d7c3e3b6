"""How completions servers word an error: four shapes of body, and of "too long"."""

from typing import Any

CONTEXT_TOKENS = 4096


class Refused(Exception):
    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str = "",
        *,
        kind: str = "BadRequestError",
        late: bool = False,
    ) -> None:
        """`late`: found by the engine, when vLLM has opened its stream already."""
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.kind, self.late = kind, late


def error_body(shape: str, refused: Refused) -> dict[str, Any]:
    """`shape`: `openai` | `int_code` | `flat` | `no_param`."""
    kind = refused.kind if refused.status == 400 else "Unauthorized"
    message, code = refused.message, refused.code
    match shape:
        case "int_code":
            if refused.status == 401:
                return {"error": "Unauthorized"}
            inner: dict[str, Any] = {"message": message, "type": kind}
            inner["param"] = refused.param or None
            return {"error": {**inner, "code": refused.status}}
        case "flat":
            body = {"object": "error", "message": message, "type": kind, "param": None}
            return {**body, "code": refused.status}
        case "no_param":
            known = code == "context_length_exceeded"
            kind = "exceed_context_size_error" if known else "invalid_request_error"
            inner = {"code": refused.status, "message": message, "type": kind}
            return {"error": {**inner, **({"n_ctx": CONTEXT_TOKENS} if known else {})}}
        case _:
            inner = {"message": message, "type": "invalid_request_error"}
            return {"error": {**inner, "param": refused.param or None, "code": code}}


def too_long(shape: str, prompt_tokens: int, max_tokens: int) -> Refused:
    """More than fits into CONTEXT_TOKENS."""
    total = prompt_tokens + max_tokens
    if shape == "flat":
        text = "Requested token count exceeds the model's maximum context length of "
        text += f"{CONTEXT_TOKENS} tokens."
    elif shape == "no_param":
        text = f"request ({total} tokens) exceeds the available context size "
        text += f"({CONTEXT_TOKENS} tokens)"
    else:
        text = (
            f"This model's maximum context length is {CONTEXT_TOKENS} tokens, however you"
            f" requested {total} tokens ({prompt_tokens} in your prompt; {max_tokens} for the"
            " completion). Please reduce your prompt; or completion length."
        )
    return Refused(400, text, "context_length_exceeded")
