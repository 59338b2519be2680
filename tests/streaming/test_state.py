import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from human3r.errors import InputError
from human3r.model.hollow import hollow
from human3r.model.network import Human3R, RecurrentState
from human3r.model.variants import VARIANTS
from human3r.streaming.state import StreamState
from human3r.tracking.tracks import TrackMemory, associate


@pytest.fixture
def stream_file(tiny_network, tmp_path):
    """A saved stream with two people, some way into its third session."""
    tokens = np.eye(2, 128, dtype=np.float32)
    _, tracks = associate(TrackMemory.empty(128), tokens, 5)
    with torch.no_grad():
        state = StreamState(
            RecurrentState.initial(tiny_network),
            tracks,
            session=2,
            frame_index=7,
            last_stamp_ns=5,
            image_size_px=(640, 480),
        )
    state.save(tmp_path / "stream.safetensors", tiny_network.config)
    return tmp_path / "stream.safetensors"


def _change(path, tensors=(), values=(), metadata=()):
    """Rewrite a saved stream with some entries changed; None removes one."""
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata()
        content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    stored = json.loads(header["values"]) | dict(values)
    header = header | {"values": json.dumps(stored)} | dict(metadata)
    content |= dict(tensors)
    save_file(
        {k: v for k, v in content.items() if v is not None},
        path,
        {k: v for k, v in header.items() if v is not None},
    )


def test_a_stream_comes_back_as_it_was(stream_file, tiny_network):
    state = StreamState.load(stream_file, tiny_network)
    assert (state.session, state.frame_index, state.last_stamp_ns) == (2, 7, 5)
    assert state.image_size_px == (640, 480)
    assert state.tracks.track_ids.tolist() == [0, 1]
    assert state.tracks.next_id == 2
    assert torch.equal(state.recurrent.memory, tiny_network.initial_memory())
    assert state.recurrent.is_first


def test_a_stream_of_another_network_is_refused(stream_file):
    config = dataclasses.replace(VARIANTS["tiny"], state_tokens=64)
    with hollow():
        other = Human3R(config)
    with pytest.raises(InputError, match="state_tokens 50 instead of 64"):
        StreamState.load(stream_file, other)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metadata": {"format": "something"}}, "format is 'something'"),
        ({"metadata": {"format": None}}, "format is None"),
        ({"metadata": {"config": "{"}}, "configuration cannot be read"),
        ({"metadata": {"config": "[]"}}, "another network"),
        ({"metadata": {"values": "[1]"}}, "values are a list"),
        ({"metadata": {"values": "[" * 100_000}}, "values cannot be read"),
        ({"metadata": {"values": None}}, "values cannot be read"),
        ({"values": {"session": -1}}, "session is -1"),
        ({"values": {"frame_index": 1.5}}, "frame_index is 1.5"),
        ({"values": {"next_id": True}}, "next_id is True"),
        ({"values": {"next_id": 1}}, "track_ids"),
        ({"values": {"is_first": 1}}, "is_first is 1"),
        ({"values": {"last_stamp_ns": "now"}}, "last_stamp_ns is 'now'"),
        ({"values": {"image_size_px": [640]}}, "image_size_px"),
        ({"tensors": {"state.tokens": None}}, "state.tokens is missing"),
        ({"tensors": {"state.tokens": torch.zeros(1, 50, 64)}}, r"\(1, 50, 64\)"),
        ({"tensors": {"state.memory": torch.full((1, 24, 256), torch.nan)}}, "not finite"),
        ({"tensors": {"state.memory": torch.zeros(1, 24, 256).double()}}, "float64"),
        ({"tensors": {"tracks.seen_ns": torch.zeros(3, dtype=torch.int64)}}, "tracks.seen_ns"),
        ({"tensors": {"tracks.tokens": torch.zeros(2, 3)}}, "tracks.tokens"),
        ({"tensors": {"world_from_camera": 2 * torch.eye(4).double()}}, "no rigid transform"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.strip("\\()"),
)
def test_a_damaged_stream_is_refused_by_name(stream_file, tiny_network, change, expected):
    _change(stream_file, **change)
    with pytest.raises(InputError, match=expected):
        StreamState.load(stream_file, tiny_network)


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5, 0.99])
def test_a_truncated_stream_is_refused(stream_file, tiny_network, keep):
    content = stream_file.read_bytes()
    stream_file.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(InputError, match="cannot be read"):
        StreamState.load(stream_file, tiny_network)


def test_a_missing_stream_is_refused(tiny_network, tmp_path):
    with pytest.raises(InputError, match=r"absent\.safetensors"):
        StreamState.load(tmp_path / "absent.safetensors", tiny_network)


def test_a_stream_of_absurd_size_is_refused_unread(tiny_network, tmp_path):
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(2 << 30)  # sparse: takes no space
    with pytest.raises(InputError, match="larger than"):
        StreamState.load(path, tiny_network)
