import struct
import zipfile

import numpy as np
import pytest
import torch

from human3r.errors import WeightsError
from human3r.model import torch_file
from human3r.model.torch_file import TorchFile
from human3r.pickles import entries
from tests.model.torch_files import Bomb, Claim, pickled, write_container

NUMBERS = np.arange(6, dtype="<f4")


def model_of(file: TorchFile) -> object:
    return entries(file.root)["model"]


def test_tensors_are_what_torch_saved(tmp_path):
    state = {
        "float32": torch.randn(3, 4),
        "float64": torch.randn(5, dtype=torch.float64),
        "float16": torch.randn(2, 2).half(),
        "bfloat16": torch.randn(7, 3).bfloat16(),
        "turned": torch.randn(4, 6).T,
        "window": torch.randn(10, 10)[2:5, 3:9:2],
        "number": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(torch.randn(2, 3)),
        "turned_bfloat16": torch.randn(4, 6).bfloat16().T,
    }
    path = tmp_path / "file.pth"
    torch.save({"model": torch.nn.Module.state_dict(torch.nn.Linear(2, 3)) | state}, path)
    with TorchFile(path) as file:
        shapes = file.shapes(model_of(file))
        for name, tensor in state.items():
            array = file.array(model_of(file), name)
            assert array.dtype == np.float32
            assert shapes[name] == array.shape == tuple(tensor.shape)
            assert np.array_equal(array, tensor.detach().float().numpy())


def test_float32_is_not_copied_and_outlives_the_file(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"model": {"x": torch.arange(5.0)}}, path)
    with TorchFile(path) as file:
        array = file.array(model_of(file), "x")
    assert not array.flags.owndata
    assert array.tolist() == [0, 1, 2, 3, 4]


def test_code_beside_the_tensors_is_not_run(tmp_path):
    path, mark = tmp_path / "file.pth", tmp_path / "mark"
    torch.save({"model": {"x": torch.ones(2)}, "args": Bomb(mark), "other": [Bomb(mark)]}, path)
    with TorchFile(path) as file:
        assert file.array(model_of(file), "x").tolist() == [1, 1]
        assert entries(file.root)["args"].origin.endswith(".system")
    assert not mark.exists()


def test_code_in_place_of_a_tensor_is_named(tmp_path):
    path, mark = tmp_path / "file.pth", tmp_path / "mark"
    torch.save({"model": {"x": torch.ones(2), "bad": Bomb(mark)}}, path)
    with TorchFile(path) as file, pytest.raises(WeightsError, match=r"bad is a .*system"):
        file.shapes(model_of(file))
    assert not mark.exists()


@pytest.mark.parametrize(
    "claim",
    [
        Claim((7,), (1,)),
        Claim((3, 2), (3, 1)),
        Claim((2,), (1,), offset=5),
        Claim((1 << 20,), (0,)),
        Claim((1 << 39, 1 << 39), (0, 0)),
        Claim((0,), (1,)),
        Claim((1,), (1,), offset=6),
        Claim((1,), (1,), key="absent"),
        Claim((1,), (1,), key="../data.pkl"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, claim):
    path = write_container(
        tmp_path / "f.pth", pickled({"model": {"x": claim}}), {"0": NUMBERS.tobytes()}
    )
    with TorchFile(path) as file, pytest.raises(WeightsError, match=r"inside|missing"):
        file.array(model_of(file), "x")


@pytest.mark.parametrize(
    "claim",
    [
        Claim((-1,), (1,)),
        Claim((2,), (-1,)),
        Claim((2,), (1, 1)),
        Claim((1 << 60,), (1,)),
        Claim((1,) * 9, (1,) * 9),
        Claim([2], (1,)),
        Claim((2.0,), (1,)),
        Claim((2,), (1,), key=("0",)),
    ],
)
def test_a_claim_that_no_tensor_has_is_refused(tmp_path, claim):
    path = write_container(
        tmp_path / "f.pth", pickled({"model": {"x": claim}}), {"0": NUMBERS.tobytes()}
    )
    with TorchFile(path) as file, pytest.raises(WeightsError, match="expected a tensor"):
        file.shapes(model_of(file))


def test_whole_numbers_are_refused(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"model": {"x": torch.arange(3)}}, path)
    with TorchFile(path) as file, pytest.raises(WeightsError, match="LongStorage"):
        file.array(model_of(file), "x")


def test_a_damaged_storage_is_refused(tmp_path):
    path = write_container(
        tmp_path / "f.pth", pickled({"model": {"x": Claim((6,), (1,))}}), {"0": NUMBERS.tobytes()}
    )
    with TorchFile(path) as file:
        assert file.array(model_of(file), "x").tolist() == NUMBERS.tolist()
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<f", 3.0), struct.pack("<f", 4.0), 1))
    with TorchFile(path) as file, pytest.raises(WeightsError, match="checksum"):
        file.array(model_of(file), "x")


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"model": {"x": torch.arange(5.0)}}, whole)
    data = whole.read_bytes()
    part = tmp_path / "part.pth"
    for length in range(0, len(data) - 1, 37):
        part.write_bytes(data[:length])
        with pytest.raises(WeightsError):
            TorchFile(part)


def test_flipped_bytes_never_escape_our_errors(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"model": {"x": torch.arange(5.0)}, "args": {"model": "text"}}, whole)
    data = bytearray(whole.read_bytes())
    part = tmp_path / "part.pth"
    refused = 0
    for position in range(0, len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        part.write_bytes(changed)
        try:
            with TorchFile(part) as file:
                file.array(entries(file.root)["model"], "x")
        except WeightsError:
            refused += 1
    assert refused > 20


def test_other_containers_are_refused(tmp_path):
    path = tmp_path / "file.pth"
    with pytest.raises(WeightsError, match="no such file"):
        TorchFile(path)
    torch.save({"model": {}}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match="old"):
        TorchFile(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something.txt", "else")
    with pytest.raises(WeightsError, match=r"data\.pkl"):
        TorchFile(path)
    write_container(path, pickled({}), byteorder="big")
    with pytest.raises(WeightsError, match="byte order"):
        TorchFile(path)


def test_a_compressed_container_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    zeros = {"0": bytes(1 << 24)}
    write_container(path, pickled({"model": {}}), zeros, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(WeightsError, match="compressed"):
        TorchFile(path)


def test_claimed_member_sizes_are_not_believed(tmp_path):
    path = write_container(tmp_path / "f.pth", pickled({"model": {}}), {"0": NUMBERS.tobytes()})
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02", data.index(b"data/0"))
    entry = data.index(b"archive/data/0", directory) - 46
    for size in (1 << 30, 0xFFFFFFF0):
        changed = bytearray(data)
        changed[entry + 20 : entry + 28] = struct.pack("<II", size, size)
        path.write_bytes(changed)
        with pytest.raises(WeightsError, match="claim"):
            TorchFile(path)


def test_a_huge_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "MAX_PICKLE_BYTES", 1000)
    path = write_container(tmp_path / "f.pth", pickled({"model": {}, "more": "x" * 2000}))
    with pytest.raises(WeightsError, match="a pickle of"):
        TorchFile(path)


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "f.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled({}))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", pickled({"model": {}}))
    with pytest.raises(WeightsError, match="one name"):
        TorchFile(path)
