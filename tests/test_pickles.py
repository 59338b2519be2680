import io
import os
import pickle
import struct
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from human3r.pickles import MAX_OPCODES, InertObject, attributes, entries, load_inert


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def read(data: bytes) -> object:
    return load_inert(io.BytesIO(data), len(data))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_becomes_data(tmp_path, protocol):
    mark = tmp_path / "mark"
    content = read(pickle.dumps({"a": [Bomb(mark)]}, protocol))
    bomb = content["a"][0]
    assert isinstance(bomb, InertObject)
    assert bomb.origin.endswith(".system")
    assert bomb.args == (f"touch {mark}",)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark), protocol))
    assert mark.exists()  # the same pickle is not harmless by itself


def test_code_that_calls_what_it_got_becomes_data(tmp_path):
    # eval("...") and then a call of its result, with the old INST and OBJ operations too.
    mark = tmp_path / "mark"
    source = f"open({str(mark)!r}, 'w')"
    for data in (
        b"cbuiltins\neval\n(X" + struct.pack("<I", len(source)) + source.encode() + b"tR(tR.",
        b"(S" + repr(source).encode() + b"\nibuiltins\neval\n.",
        b"(cbuiltins\neval\nS" + repr(source).encode() + b"\no.",
    ):
        assert isinstance(read(data), InertObject)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_is_read_as_it_is(protocol):
    plain = {"n": [1, -2.5, None, True, 2**70], "t": ("text", "\u00e9"), "b": bytearray(b"abc")}
    content = read(pickle.dumps(plain, protocol))
    assert content["n"] == plain["n"]
    assert content["t"] == plain["t"]
    assert content["b"] == b"abc" or content["b"].origin.endswith("bytearray")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_state_and_items_of_objects_are_kept(protocol):
    ordered = OrderedDict(a=1)
    ordered["b"] = 2
    content = read(pickle.dumps([Namespace(model="text"), ordered, np.float64(2)], protocol))
    assert attributes(content[0]) == {"model": "text"}
    assert dict(entries(content[1])) == {"a": 1, "b": 2}
    assert isinstance(content[2], InertObject)


def test_nothing_else_has_entries_or_attributes():
    assert entries([1]) is None
    assert attributes({"a": 1}) == {}
    assert entries(read(pickle.dumps(Namespace()))) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02}",
        pickle.dumps({"a": list(range(100))})[:-20],
        b"\x80\x63.",
        b"not a pickle at all",
        b"cos\nsystem\n.junk"[:-10],
        b"\x80\x02" + b"c" + b"m" * 400 + b"\nname\n.",
        b"\x82\x01.",
        b"]}K\x01K\x02sb.",
    ],
)
def test_damaged_pickles_are_refused(data):
    with pytest.raises(pickle.UnpicklingError):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 45) + b"x.",  # byte array
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 45) + b"x.",  # bytes
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 45) + b"x.",  # text
        b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x.",  # integer
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 45) + b"N.",  # frame
    ],
)
def test_claimed_sizes_are_not_believed(data):
    with pytest.raises(pickle.UnpicklingError):
        read(data)


def test_a_huge_memo_index_costs_no_memory():
    assert read(b"\x80\x02Nr" + struct.pack("<I", (1 << 32) - 1) + b".") is None


def test_too_many_steps_are_refused():
    with pytest.raises(pickle.UnpicklingError, match="steps"):
        read(b"\x80\x02" + b"N0" * (MAX_OPCODES // 2 + 10) + b"N.")


def test_a_pickle_ends_where_it_is_said_to_end():
    data = pickle.dumps("inside")
    stream = io.BytesIO(b"before" + data + b"behind")
    stream.seek(6)
    assert load_inert(stream, len(data)) == "inside"
    stream.seek(6)
    with pytest.raises(pickle.UnpicklingError):
        load_inert(stream, len(data) - 1)


def test_a_pickle_cannot_change_what_the_next_one_means():
    # BUILD on a class would set attributes on it, were it shared.
    data = b"cm\nname\n}X\x06\x00\x00\x00originX\x01\x00\x00\x00xsb."
    with pytest.raises(pickle.UnpicklingError):
        read(data)
    assert InertObject.origin == ""
    assert read(b"cm\nname\n(tR.").origin == "m.name"


def shared_tuples(levels: int) -> bytes:
    """A tuple of 2 ** levels leaves in a few bytes: each level holds the one below twice."""
    start = b"\x80\x04)"  # PROTO 4, EMPTY_TUPLE
    # MEMOIZE, BINGET of the same, TUPLE2
    return start + b"".join(b"\x94h" + bytes([level]) + b"\x86" for level in range(levels))


@pytest.mark.parametrize(
    "container",
    [
        lambda key: b"\x80\x04}" + key[2:] + b"K\x01s.",  # SETITEM
        lambda key: b"\x80\x04}(" + key[2:] + b"K\x01u.",  # SETITEMS
        lambda key: b"\x80\x04(" + key[2:] + b"K\x01d.",  # DICT
        lambda key: b"\x80\x04\x8f(" + key[2:] + b"\x90.",  # EMPTY_SET, ADDITEMS
        lambda key: b"\x80\x04(" + key[2:] + b"\x91.",  # FROZENSET
    ],
)
@pytest.mark.parametrize("key", [shared_tuples(60), b"\x80\x04)" + b"\x85" * 200_000])
def test_a_key_that_would_never_finish_hashing_is_refused(container, key):
    with pytest.raises(pickle.UnpicklingError, match="no text or number"):
        read(container(key))


def test_a_pair_with_such_a_key_makes_no_mapping():
    key = read(shared_tuples(60) + b".")
    pairs = InertObject([(key, 1)])
    assert entries(pairs) is None
