"""Why a field of a request was refused, in words and codes that OpenAI's callers know.

Only for requests that are refused: a field that its type did not take is decoded again without any,
and compared with what the type (from decoding.py or engine_fields.py) would have taken.
"""

from msgspec import DecodeError, Raw, inspect, json

from baton import errors
from baton.errors import RequestError

TOKEN_ID_MAX = 2**31 - 1
NESTED_TOO_DEEPLY = "it is nested too deeply"
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
"""Of UTF-8 and UTF-16: PowerShell writes them into files, and no editor shows them."""
BYTE_ORDER_MARKED = "it begins with a byte order mark: send UTF-8 without one"
UNREADABLE = (DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on input: RecursionError on deep nesting, UnicodeDecodeError on bad UTF-8."""

PROMPT_SHAPES = "a string, an array of strings, an array of token ids or an array of those"

_NOUNS: dict[type, str] = {
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.StrType: "a string",
    inspect.BoolType: "a boolean",
    inspect.DictType: "an object",
    inspect.StructType: "an object",
}
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def unreadable(error: Exception) -> str:
    """What is wrong with bytes that cannot be decoded at all."""
    if isinstance(error, RecursionError):
        return NESTED_TOO_DEEPLY
    if isinstance(error, UnicodeDecodeError):
        return "it is not valid UTF-8"
    return str(error)[:200].rstrip(".")


def explain_body(body: bytes, error: Exception) -> RequestError:
    """The error for a body that is no JSON."""
    if body.startswith(BYTE_ORDER_MARKS):
        return errors.malformed_body(BYTE_ORDER_MARKED)
    return errors.malformed_body(unreadable(error)) if body.strip() else errors.empty_body()


def explain_field(name: str, kind: object, raw: Raw | bytes) -> RequestError:
    """The error for a field whose value `raw` the type `kind` did not take."""
    try:
        value = json.decode(raw)
    except UNREADABLE as error:
        return errors.invalid(f"Invalid '{name}': {unreadable(error)}.", name)
    allowed = [branch for branch in _branches(kind) if not isinstance(branch, inspect.NoneType)]
    for branch in allowed:
        match branch, value:
            case inspect.DictType(), dict():
                return _explain_bias(name, branch, value)
            case inspect.StructType(), dict():
                return _explain_options(name, branch, value)
            case inspect.ListType(), list():
                return _explain_list(name, branch, value)
    return _explain_number(name, allowed[0], value) or errors.wrong_type(
        name, " or ".join(_noun(branch) for branch in allowed), _KINDS[type(value)]
    )


def explain_prompt(data: bytes) -> RequestError:
    """The error for a prompt of none of the four shapes."""
    try:
        value = json.decode(data)
    except UNREADABLE as error:
        return errors.invalid(f"Invalid 'prompt': {unreadable(error)}.", "prompt")
    if value is None:
        return errors.missing_parameter("prompt")
    if not isinstance(value, list):
        return errors.wrong_type("prompt", PROMPT_SHAPES, _KINDS[type(value)])
    return _explain_array(value)


def _explain_array(items: list[object]) -> RequestError:
    if not items:
        return errors.empty_prompt("the array")
    if [] in items:
        return errors.empty_prompt("an inner array")
    if {type(item) for item in items} == {list}:
        inner = [token for tokens in items if isinstance(tokens, list) for token in tokens]
        return _explain_tokens(inner, "an array of ")
    return _explain_tokens(items, "")


def _explain_tokens(items: list[object], around: str) -> RequestError:
    if {type(item) for item in items} == {int}:
        message = f"Invalid 'prompt': token ids are integers from 0 to {TOKEN_ID_MAX}."
        return errors.invalid(message, "prompt", "invalid_token_id")
    return errors.wrong_type("prompt", PROMPT_SHAPES, around + _items(items))


def _explain_bias(name: str, kind: inspect.DictType, bias: dict[str, object]) -> RequestError:
    for key, value in bias.items():
        decimal = key.isascii() and key.isdigit() and (key == "0" or key[0] != "0")
        if not decimal or len(key) > 10 or int(key) > TOKEN_ID_MAX:
            message = (
                f"Invalid '{name}': keys are token ids, integers from 0 to {TOKEN_ID_MAX}, "
                f"but got '{errors.quoted(key)}'."
            )
            return errors.invalid(message, name, "invalid_token_id")
        if fault := _explain_number(name, kind.value_type, value):
            return fault
        if type(value) not in (int, float):
            return errors.wrong_type(name, "numbers as values", _KINDS[type(value)])
    return errors.invalid(f"Invalid '{name}'.", name)


def _explain_list(name: str, kind: inspect.ListType, items: list[object]) -> RequestError:
    if kind.max_length is not None and len(items) > kind.max_length:
        return errors.too_many(name, kind.max_length, len(items))
    wanted = kind.item_type
    for item in items:
        if fault := _explain_number(name, wanted, item):
            return fault
        chars_max = wanted.max_length if isinstance(wanted, inspect.StrType) else None
        if chars_max is not None and isinstance(item, str) and len(item) > chars_max:
            return errors.too_long(name, chars_max, "characters")
    return errors.wrong_type(name, _noun(kind), _items(items))


def _explain_options(
    name: str, kind: inspect.StructType, options: dict[str, object]
) -> RequestError:
    """All that a known option may be is a boolean or null."""
    for option in kind.fields:
        value = options.get(option.name)
        if not isinstance(value, bool | None):
            return errors.wrong_type(f"{name}.{option.name}", "a boolean", _KINDS[type(value)])
    return errors.invalid(f"Invalid '{name}'.", name)


def _explain_number(name: str, kind: inspect.Type, value: object) -> RequestError | None:
    """The error where `value` is a number of the right kind out of its range."""
    number: float
    match kind, value:
        case (inspect.IntType(), bool()) | (inspect.FloatType(), bool()):
            return None
        case inspect.IntType(ge=low, le=high), int():
            noun, number = "integer", value
        case inspect.FloatType(ge=low, gt=above, le=high), int() | float():
            noun, number = "decimal", value
            if above is not None and number <= above:
                return errors.below_minimum(name, noun, above, number, sign=">")
        case _:
            return None
    if low is not None and number < low:
        return errors.below_minimum(name, noun, low, number)
    if high is not None and number > high:
        return errors.above_maximum(name, noun, high, number)
    return None


def _noun(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.ListType):
        return f"an array of {_NOUNS[type(kind.item_type)].split()[-1]}s"
    return _NOUNS[type(kind)]


def _items(items: list[object]) -> str:
    kinds = sorted({_KINDS[type(item)] for item in items})
    return f"an array of {kinds[0].split()[-1]}s" if len(kinds) == 1 else "a mixed array"


def _branches(kind: object) -> tuple[inspect.Type, ...]:
    found = inspect.type_info(kind)
    return found.types if isinstance(found, inspect.UnionType) else (found,)
