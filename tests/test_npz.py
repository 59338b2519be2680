"""npz files with damaged members."""

import io
import zipfile

import numpy as np
import pytest

from human3r.errors import InputError
from human3r.npz import read_npz


def npz_with(member: bytes, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", member)
    return path


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6.0))
    return buffer.getvalue()


HEADER = npy()[:10]


@pytest.mark.parametrize(
    "member",
    [
        b"",
        npy()[:9],
        npy()[:-1],
        # Numpy reads the header as Python text.
        HEADER + b"{'descr': '<f8', 'fortran_order': False, 'shape': ((((".ljust(118) + bytes(48),
        HEADER + b"{'descr': '<f8',\n  'x\n 1".ljust(118) + bytes(48),
        HEADER + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9**9**9,)}".ljust(118),
        HEADER + (b"-" * 110).ljust(118),
    ],
)
def test_damaged_members_are_refused(member, tmp_path):
    with pytest.raises(InputError, match="Get it again"):
        read_npz(npz_with(member, tmp_path / "a.npz"), None, InputError, "it", "Get it again.")


def test_a_whole_member_is_read(tmp_path):
    found = read_npz(npz_with(npy(), tmp_path / "a.npz"), None, InputError, "it", "Get it again.")
    np.testing.assert_array_equal(found["a"], np.arange(6.0))
