import hashlib
from pathlib import Path

import pytest

from human3r import atomic
from human3r.atomic import output_errors, sha256_of, whole_path
from human3r.errors import OutputError


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "result.bin"
    with whole_path(target) as partial:
        partial.write_bytes(b"data")
        assert not target.exists()
        assert partial.parent == tmp_path
        assert partial.name.endswith(".part")
    assert target.read_bytes() == b"data"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_block_leaves_the_old_file(tmp_path):
    target = tmp_path / "result.bin"
    target.write_bytes(b"old")

    def fail() -> None:
        with whole_path(target) as partial:
            partial.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(OutputError, match="No such file"), whole_path(tmp_path / "no" / "f"):
        pass
    with pytest.raises(OutputError, match="is a directory"), whole_path(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_library_in_rust_says_of_a_full_disk_is_said_as_of_any_other():
    """As safetensors has it; its error is no OSError."""
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(OutputError, match=r"^weights: .*No space left on device.*free some space"):
        with output_errors(Path("weights")):
            raise RuntimeError(said)
    with pytest.raises(KeyError), output_errors(Path("x")):
        raise KeyError("no matter of the disk")


@pytest.mark.parametrize("tick_ns", [0, 10**18])
def test_a_checksum_is_that_of_the_file_as_it_is(tmp_path, monkeypatch, tick_ns):
    """Whether it may be remembered or the file is too young for that."""
    monkeypatch.setattr(atomic, "_CLOCK_TICK_NS", tick_ns)
    file = tmp_path / "file"
    for data in (b"one", b"another", b"the third"):
        file.unlink(missing_ok=True)
        file.write_bytes(data)
        for _ in range(2):
            assert sha256_of(file) == hashlib.sha256(data).hexdigest()
