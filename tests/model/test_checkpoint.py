import json
import os
import pickle
import struct
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from human3r.errors import ConfigError, DeviceError, WeightsError
from human3r.model import checkpoint
from human3r.model.checkpoint import load_network
from human3r.model.network import Human3R
from human3r.model.variants import VARIANTS
from human3r.model.weights_file import (
    WeightsHeader,
    decode_header,
    encode_header,
    read_index,
    sha256_of,
)
from human3r.model.weights_writer import write_seeded
from tests.conftest import seeded_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Seeded weights of the smallest network, seed 0; shared, so leave the file as it is."""
    path = tmp_path_factory.mktemp("weights") / "mini.safetensors"
    write_seeded("human3r_mini", path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def network() -> Human3R:
    """The same weights."""
    return seeded_network("human3r_mini")


@pytest.fixture
def hollow(weights: Path, tmp_path: Path):
    """A weights file with another header, all numbers zero: a hole that takes no disk space."""

    def write(edit=lambda header: None) -> Path:
        with weights.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(size))
        edit(header)
        text = json.dumps(header).encode()
        path = tmp_path / "hollow.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text)
        os.truncate(path, weights.stat().st_size - size + len(text))
        return path

    return write


def test_a_loaded_network_has_the_numbers_and_is_ready(weights: Path, network: Human3R):
    loaded = load_network(weights, rope_dtype="float16")
    assert loaded.config == VARIANTS["human3r_mini"]
    assert loaded.rope_dtype == "float16"
    assert not loaded.training
    wanted = network.state_dict()
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, wanted[key]), key
    tensors = [*loaded.parameters(), *loaded.buffers()]
    assert not any(tensor.is_meta or tensor.requires_grad for tensor in tensors)


def test_shared_tensors_stay_shared(weights: Path):
    network = load_network(weights)
    for head in ("dpt_self", "dpt_cross", "dpt_rgb"):
        scratch = getattr(network.downstream_head, head).scratch
        assert scratch.layer1_rn.weight is scratch.layer_rn[0].weight


def test_the_checksum_is_compared_when_given(weights: Path):
    digest = sha256_of(weights)
    load_network(weights, sha256=digest)
    load_network(weights, sha256=digest.upper())
    with pytest.raises(WeightsError, match=f"SHA-256 is {digest}; expected 0000"):
        load_network(weights, sha256="0" * 64)
    with pytest.raises(WeightsError, match="64 hex digits"):
        load_network(weights, sha256="abc")


def test_the_checksum_of_a_known_file_is_compared(hollow, monkeypatch):
    monkeypatch.setattr(checkpoint, "KNOWN_SHA256", {"human3r_mini": "1" * 64})
    load_network(hollow())  # seeded weights have no known checksum
    converted = replace(HEADER, config=VARIANTS["human3r_mini"], variant="human3r_mini")
    path = hollow(lambda header: header.update(__metadata__=encode_header(converted)))
    with pytest.raises(WeightsError, match="expected 1111"):
        load_network(path)
    monkeypatch.setattr(checkpoint, "KNOWN_SHA256", {"human3r_mini": sha256_of(path)})
    load_network(path)


def test_a_file_of_another_writer_is_known_by_its_shapes(hollow):
    path = hollow(lambda header: header.pop("__metadata__"))
    assert read_index(path).header is None
    assert load_network(path).config == VARIANTS["human3r_mini"]
    assert load_network(path, variant="human3r_mini").config == VARIANTS["human3r_mini"]
    with pytest.raises(WeightsError, match="do not fit the network"):
        load_network(path, variant="human3r_672S")
    with pytest.raises(WeightsError, match="no variant"):
        load_network(path, variant="nonsense")


def test_a_variant_must_be_the_one_of_the_file(weights: Path):
    with pytest.raises(WeightsError, match="written for human3r_mini, not for human3r_672S"):
        load_network(weights, variant="human3r_672S")


def test_a_file_without_second_names_loads(network: Human3R, tmp_path):
    state = {k: v for k, v in network.state_dict().items() if ".layer_rn." not in k}
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    loaded = load_network(path).state_dict()
    name = "downstream_head.dpt_self.scratch.layer_rn.1.weight"
    assert torch.equal(loaded[name], network.state_dict()[name])
    other = "downstream_head.dpt_self.scratch.layer2_rn.weight"
    save_file({**state, name: state[other] + 1}, path)
    with pytest.raises(WeightsError, match=r"layer_rn.1.weight.* differ|layer2_rn.* differ"):
        load_network(path)
    path.unlink()


def test_tensors_that_do_not_fit_are_named(hollow):
    def rename(header: dict) -> None:
        header["enc_norm.gain"] = header.pop("enc_norm.weight")

    with pytest.raises(WeightsError, match=r"missing: enc_norm.weight.*unexpected: enc_norm.gain"):
        load_network(hollow(rename))

    def reshape(header: dict) -> None:
        header["enc_norm.weight"]["shape"] = [2, 96]

    with pytest.raises(WeightsError, match=r"enc_norm.weight \(2, 96\) instead of \(192,\)"):
        load_network(hollow(reshape))

    def retype(header: dict) -> None:
        header["enc_norm.weight"]["dtype"] = "I32"

    with pytest.raises(WeightsError, match=r"another type.*enc_norm.weight I32"):
        load_network(hollow(retype))


def test_half_precision_files_run_in_single_precision(weights: Path, tmp_path):
    tensors = {key: tensor.half() for key, tensor in load_file(weights).items()}
    with safe_open(weights, framework="pt") as file:
        save_file(tensors, tmp_path / "half.safetensors", metadata=file.metadata())
    state = load_network(tmp_path / "half.safetensors").state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    for key, tensor in tensors.items():
        assert torch.equal(state[key], tensor.float())


def test_checkpoints_with_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "w.safetensors"
    for new_format in (True, False):
        torch.save({"model": {}}, path, _use_new_zipfile_serialization=new_format)
        with pytest.raises(WeightsError, match="human3r weights convert"):
            load_network(path)
    path.write_bytes(pickle.dumps({"model": {}}))
    with pytest.raises(WeightsError, match="human3r weights convert"):
        load_network(path)


def test_damaged_files_are_refused(hollow, tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match="no such file"):
        load_network(path)
    with pytest.raises(WeightsError, match="is a folder"):
        load_network(tmp_path)
    whole = hollow()
    load_network(whole)
    os.truncate(whole, whole.stat().st_size - 1)
    with pytest.raises(WeightsError, match="no complete safetensors file"):
        load_network(whole)
    for data in (b"", b"12345678", struct.pack("<Q", 1 << 60) + b"{}", b"text " * 100):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"w\.safetensors: is .*; expected weights"):
            load_network(path)


def test_an_unusable_device_is_said(weights: Path):
    for device in ("cuda:99", "nonsense"):
        with pytest.raises(DeviceError, match="expected cpu, cuda"):
            load_network(weights, device=device)


def test_an_unknown_precision_is_refused(weights: Path):
    with pytest.raises(ConfigError, match="rope_dtype"):
        load_network(weights, rope_dtype="int8")


# What a file says about itself


HEADER = WeightsHeader(VARIANTS["human3r_896L"], "human3r_896L", source_sha256="ab" * 32)


def test_metadata_comes_back_as_it_was():
    for header in (HEADER, WeightsHeader(VARIANTS["tiny"], seed=3)):
        assert decode_header(encode_header(header), "test") == header
    assert decode_header({"format": "pt"}, "test") is None


def content() -> dict:
    return {"format_version": 1, **asdict(HEADER)}


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"more": 1},
        {"variant": 3},
        {"variant": "../../etc"},
        {"source_sha256": "xyz"},
        {"seed": "1"},
        {"seed": True},
        {"config": []},
        {"config": {}},
        {"config": {**asdict(HEADER.config), "more": 1}},
        {"config": {**asdict(HEADER.config), "encoder_depth": 10**9}},
        {"config": {**asdict(HEADER.config), "encoder_depth": 0}},
        {"config": {**asdict(HEADER.config), "encoder_depth": 24.0}},
        {"config": {**asdict(HEADER.config), "encoder_depth": True}},
        {"config": {**asdict(HEADER.config), "state_tokens": 1 << 40}},
        {"config": {**asdict(HEADER.config), "human_size_px": 671}},
        {"config": {**asdict(HEADER.config), "dino": "resnet"}},
        {"config": {**asdict(HEADER.config), "rope_base": float("nan")}},
        {"config": {**asdict(HEADER.config), "rope_base": 0.0}},
    ],
)
def test_metadata_outside_the_schema_is_refused(change):
    with pytest.raises(WeightsError, match="description holds"):
        decode_header({"human3r": json.dumps(content() | change)}, "test")


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "[" * 100_000])
def test_metadata_that_is_no_json_object_is_refused(text):
    with pytest.raises(WeightsError, match="description holds"):
        decode_header({"human3r": text}, "test")


def test_equal_content_gives_equal_metadata():
    assert encode_header(HEADER) == encode_header(replace(HEADER))
