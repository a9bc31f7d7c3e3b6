"""Make a tiny GGUF that llama.cpp loads: random weights, a byte vocabulary with FIM tokens.

What it generates is noise (any byte, so also halves of characters), but the same noise every time:
good for whatever must hold on any model, in milliseconds instead of seconds. Ids 0..255 are the
bytes themselves; the merges and special tokens follow.
"""

import pathlib

import gguf
import numpy
import numpy.typing

LAYERS, WIDTH, HEADS, FEED_FORWARD = 2, 64, 4, 128
BLOCKS, BLOCKS_CALM = 2.0, 0.8
"""How large the weights of a layer are. With calm ones the last token says most of what the next
one is: so the text comes round, and leaves its round now and then."""
EIGHT_BITS = gguf.GGMLQuantizationType.Q8_0
MERGES = ("h e", "l l", "o Ġ", "Ġ t", "Ġt he")
"""Pairs that the tokenizer joins, so that text and ids are not trivially one to one."""
SPECIALS = (
    "<|begin|>",
    "<|end|>",
    "<|fim_prefix|>",
    "<|fim_suffix|>",
    "<|fim_middle|>",
    "<|fim_pad|>",
)
FIRST_SPECIAL = 256 + len(MERGES)
BOS, EOS, FIM_PRE, FIM_SUF, FIM_MID, FIM_PAD = range(FIRST_SPECIAL, FIRST_SPECIAL + len(SPECIALS))
VOCABULARY_SIZE = FIRST_SPECIAL + len(SPECIALS)

Weights = numpy.typing.NDArray[numpy.float32]


def write(
    path: pathlib.Path,
    *,
    seed: int = 0,
    context: int = 512,
    fim: bool = True,
    begins: bool = False,
    repeats: bool = False,
) -> pathlib.Path:
    """Write the model to `path`. Another seed is another model; `fim=False` has no FIM tokens;
    `begins` puts a token before every prompt; `repeats` makes its noise come round again and
    again, and its weights have eight bits: steps of any size come out the same."""
    _write(gguf.GGUFWriter(path, "llama"), seed, context, fim, begins, repeats)
    return path


def write_parts(path: pathlib.Path) -> list[pathlib.Path]:
    """Write the model in three files, as llama.cpp splits one; the first names the others."""
    _write(gguf.GGUFWriter(path, "llama", split_max_tensors=8), 0, 512, True, False, False)
    return sorted(path.parent.glob(f"{path.stem}-0000?-of-00003.gguf"))


def _write(
    writer: gguf.GGUFWriter, seed: int, context: int, fim: bool, begins: bool, repeats: bool
) -> None:
    _describe(writer, context)
    _add_vocabulary(writer, fim, begins)
    for name, values in _weights(seed, BLOCKS_CALM if repeats else BLOCKS):
        if repeats and values.ndim > 1:
            writer.add_tensor(name, gguf.quants.quantize(values, EIGHT_BITS), raw_dtype=EIGHT_BITS)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_symbols() -> list[str]:
    """The printable character that byte-level BPE writes for each byte 0..255 (GPT-2's table)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    symbols, moved = [], 0
    for byte in range(256):
        if byte in printable:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(0x100 + moved))
            moved += 1
    return symbols


def _describe(writer: gguf.GGUFWriter, context: int) -> None:
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(VOCABULARY_SIZE)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _add_vocabulary(writer: gguf.GGUFWriter, fim: bool, begins: bool) -> None:
    joined = [merge.replace(" ", "") for merge in MERGES]
    tokens = [*byte_symbols(), *joined, *SPECIALS]
    if not fim:  # llama.cpp also finds FIM tokens by their well-known spellings
        tokens[FIM_PRE:] = [token.replace("fim", "odd") for token in SPECIALS[2:]]
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([normal] * FIRST_SPECIAL + [control] * len(SPECIALS))
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(begins)
    if fim:
        for part, token in (("pre", FIM_PRE), ("suf", FIM_SUF), ("mid", FIM_MID), ("pad", FIM_PAD)):
            writer.add_uint32(f"tokenizer.ggml.fim_{part}_token_id", token)


def _weights(seed: int, scale: float) -> list[tuple[str, Weights]]:
    """Tensors by name; rows are outputs. The wide head keeps near-ties between logits rare."""
    random = numpy.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float) -> Weights:
        drawn = random.standard_normal((rows, columns)) * scale / columns**0.5
        return numpy.asarray(drawn, numpy.float32)

    ones = numpy.ones(WIDTH, numpy.float32)
    tensors = [("token_embd.weight", matrix(VOCABULARY_SIZE, WIDTH, 8.0))]
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        tensors.append((f"{block}.attn_norm.weight", ones))
        tensors += [(f"{block}.attn_{part}.weight", matrix(WIDTH, WIDTH, scale)) for part in "qkv"]
        tensors.append((f"{block}.attn_output.weight", matrix(WIDTH, WIDTH, scale)))
        tensors.append((f"{block}.ffn_norm.weight", ones))
        tensors.append((f"{block}.ffn_gate.weight", matrix(FEED_FORWARD, WIDTH, scale)))
        tensors.append((f"{block}.ffn_up.weight", matrix(FEED_FORWARD, WIDTH, scale)))
        tensors.append((f"{block}.ffn_down.weight", matrix(WIDTH, FEED_FORWARD, scale)))
    tensors.append(("output_norm.weight", ones))
    tensors.append(("output.weight", matrix(VOCABULARY_SIZE, WIDTH, 2.0)))
    return tensors
