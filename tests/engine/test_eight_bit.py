"""The copy in eight bits, against the gguf package's own arithmetic, and loaded."""

import pathlib

import gguf
import numpy as np
import pytest

from baton.engine.eight_bit import to_eight_bits, write_copy
from baton.engine.gguf import GgufError
from baton.engine.llama import Library, Model

Q4_1, Q8_0 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0


def written(path: pathlib.Path, kind: gguf.GGMLQuantizationType) -> pathlib.Path:
    """A file with a tensor of each of the formats that the copy knows, and one of `kind`."""
    chance = np.random.default_rng(5)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(3)
    writer.add_string("general.name", "toy")
    writer.add_array("toy.words", ["a", "b c"])
    weights = chance.normal(size=(3, 64)).astype(np.float32)
    writer.add_tensor("first", weights[0])
    for name, of in (("mixed", kind), ("kept", Q8_0)):
        writer.add_tensor(name, gguf.quants.quantize(weights, of), raw_dtype=of)
    writer.add_tensor("half", weights.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_blocks_are_those_of_the_package() -> None:
    """Bit by bit, also a block of zeros."""
    weights = np.random.default_rng(1).normal(size=(50, 256)).astype(np.float32)
    weights[3] = 0
    packed = gguf.quants.quantize(weights, Q4_1)
    wanted = gguf.quants.quantize(gguf.quants.dequantize(packed, Q4_1), Q8_0)
    assert np.array_equal(wanted.reshape(-1), to_eight_bits(packed.reshape(-1)))


def test_the_rest_of_the_file_stays(tmp_path: pathlib.Path) -> None:
    """Other tensors and all metadata but the file's kind are the same, and in their places."""
    source = written(tmp_path / "a.gguf", Q4_1)
    write_copy(source, tmp_path / "b.gguf")
    before, after = gguf.GGUFReader(source), gguf.GGUFReader(tmp_path / "b.gguf")
    assert [t.name for t in before.tensors] == [t.name for t in after.tensors]
    assert [Q8_0 if t.tensor_type == Q4_1 else t.tensor_type for t in before.tensors] == [
        t.tensor_type for t in after.tensors
    ]
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert old.shape.tolist() == new.shape.tolist()
        assert old.tensor_type == Q4_1 or np.array_equal(old.data, new.data)
    assert 7 == after.fields["general.file_type"].contents()
    assert ["a", "b c"] == after.fields["toy.words"].contents()


def test_other_formats_are_refused(tmp_path: pathlib.Path) -> None:
    """Nothing is guessed about the size of what is not known."""
    source = written(tmp_path / "a.gguf", gguf.GGMLQuantizationType.Q5_0)
    with pytest.raises(GgufError, match="format 6"):
        write_copy(source, tmp_path / "b.gguf")


def test_the_default_model_is_used_in_eight_bits(
    default_model: pathlib.Path, library: Library
) -> None:
    """llama.cpp knows it as one."""
    model = Model(library, str(default_model))
    assert "7" == model.metadata("general.file_type")
    model.close()
