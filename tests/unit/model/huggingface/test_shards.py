"""A folder of weights: what it holds is known from its headers, and what is wrong with it is said."""

from __future__ import annotations

import json
import struct

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import save_file  # noqa: E402 - after the check that it is there

from tonne.errors import WeightsError  # noqa: E402
from tonne.model.huggingface.shards import stored_tensors  # noqa: E402

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def sharded(folder):
    save_file({"a": torch.zeros(2, 3)}, folder / FIRST)
    save_file({"b": torch.zeros(5, dtype=torch.bfloat16)}, folder / SECOND)
    write_index(folder, {"a": FIRST, "b": SECOND})


def write_index(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")


def test_a_single_file(tmp_path):
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros((), dtype=torch.float64)}, tmp_path / "model.safetensors")
    found = stored_tensors(tmp_path)
    assert {name: (entry.dtype, entry.shape) for name, entry in found.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F64", ()),
    }


def test_shards_with_an_index(tmp_path):
    sharded(tmp_path)
    found = stored_tensors(tmp_path)
    assert {name: (entry.file.name, entry.dtype) for name, entry in found.items()} == {
        "a": (FIRST, "F32"),
        "b": (SECOND, "BF16"),
    }


def test_an_empty_tensor_is_one(tmp_path):
    save_file({"a": torch.zeros(0, 3)}, tmp_path / "model.safetensors")
    assert stored_tensors(tmp_path)["a"].shape == (0, 3)


@pytest.mark.parametrize("kept", [0, 4, 8, 20, -1])
def test_a_file_cut_short(tmp_path, kept):
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:kept])
    with pytest.raises(WeightsError, match=r"model\.safetensors has \d+ bytes, but its header .*Fetch the file again"):
        stored_tensors(tmp_path)


def test_a_shard_cut_short_is_named_with_both_sizes(tmp_path):
    sharded(tmp_path)
    whole = (tmp_path / SECOND).read_bytes()  # 10 bytes of numbers
    (tmp_path / SECOND).write_bytes(whole[:-3])
    with pytest.raises(WeightsError, match=rf"{SECOND} has {len(whole) - 3} bytes, .* promises {len(whole)} bytes"):
        stored_tensors(tmp_path)


@pytest.mark.parametrize("header", [b"not JSON", b"[1, 2]", b'{"a": 1}', b'{"a": {"dtype": "F32", "shape": [1]}}'])
def test_a_file_of_another_kind(tmp_path, header):
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    with pytest.raises(WeightsError, match="its header is not that of a safetensors file"):
        stored_tensors(tmp_path)


def test_a_missing_shard(tmp_path):
    sharded(tmp_path)
    (tmp_path / FIRST).unlink()
    with pytest.raises(WeightsError, match=rf"names {FIRST}, which is not in the folder\. Fetch the missing file"):
        stored_tensors(tmp_path)


def test_an_index_that_promises_what_its_file_does_not_hold(tmp_path):
    sharded(tmp_path)
    write_index(tmp_path, {"a": FIRST, "b": SECOND, "c": SECOND})
    with pytest.raises(WeightsError, match="says where c lies, but that file does not hold it"):
        stored_tensors(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_none(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"model\.safetensors\.index\.json (cannot be read|has no weight_map)"):
        stored_tensors(tmp_path)


def test_an_index_that_leaves_the_folder(tmp_path):
    write_index(tmp_path, {"a": "../other/model.safetensors"})
    with pytest.raises(WeightsError, match="lies outside the folder"):
        stored_tensors(tmp_path)


def test_shards_without_an_index(tmp_path):
    sharded(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(WeightsError, match=rf"holds {FIRST}, {SECOND} but no model\.safetensors\.index\.json"):
        stored_tensors(tmp_path)


def test_a_tensor_in_two_shards(tmp_path):
    sharded(tmp_path)
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(5)}, tmp_path / SECOND)
    with pytest.raises(WeightsError, match=f"a lies in {FIRST} and in {SECOND}"):
        stored_tensors(tmp_path)


def test_two_saves_in_one_folder(tmp_path):
    sharded(tmp_path)
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="two saves"):
        stored_tensors(tmp_path)


def test_pickles_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: pickles, .* Convert them to safetensors"):
        stored_tensors(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no weights: neither model\.safetensors nor"):
        stored_tensors(tmp_path)
