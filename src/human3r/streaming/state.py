"""What a stream remembers between frames, and how it is kept in a file.

Everything here is immutable: a frame makes a new state, and a failed frame simply does not.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.model.network import Human3R, RecurrentState
from human3r.model.variants import NetworkConfig
from human3r.tracking.tracks import TrackMemory

_FORMAT = "human3r.stream.1"
_MAX_FILE_BYTES = 1 << 30
_COUNTERS = ("session", "frame_index", "next_id")


@dataclass(frozen=True)
class StreamState:
    """Everything a session knows between two frames."""

    recurrent: RecurrentState
    tracks: TrackMemory
    world_from_segment: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """Where the current segment's first camera is."""
    world_from_camera: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    """The last frame's camera."""
    session: int = 0
    frame_index: int = 0
    """Frames processed since the last reset."""
    last_stamp_ns: int | None = None
    image_size_px: tuple[int, int] | None = None
    """Width and height every further image must have."""

    def save(self, path: str | Path, config: NetworkConfig) -> None:
        """Write everything as safetensors; the file is complete or absent.

        Raises:
            OutputError: not writable.
        """
        tensors = {
            "state.tokens": self.recurrent.tokens,
            "state.memory": self.recurrent.memory,
            "tracks.tokens": torch.from_numpy(self.tracks.tokens),
            "tracks.track_ids": torch.from_numpy(self.tracks.track_ids),
            "tracks.seen_ns": torch.from_numpy(self.tracks.seen_ns),
            "world_from_segment": torch.from_numpy(self.world_from_segment),
            "world_from_camera": torch.from_numpy(self.world_from_camera),
        }
        values = {
            "is_first": self.recurrent.is_first,
            "session": self.session,
            "frame_index": self.frame_index,
            "next_id": self.tracks.next_id,
            "last_stamp_ns": self.last_stamp_ns,
            "image_size_px": self.image_size_px,
        }
        _write(path, tensors, config, values)

    @classmethod
    def load(cls, path: str | Path, network: Human3R) -> "StreamState":
        """Read everything for this network.

        Raises:
            InputError: unreadable, damaged, or of a network of other sizes.
        """
        tensors, values = _read(path, network.config)
        for name in _COUNTERS:
            if not _is_count(values.get(name)):
                raise _damaged(path, f"{name} is {values.get(name)!r}; expected a whole number")
        stamp, size = values.get("last_stamp_ns"), values.get("image_size_px")
        if stamp is not None and type(stamp) is not int:
            raise _damaged(path, f"last_stamp_ns is {stamp!r}; expected a whole number or null")
        if size is not None and not (
            isinstance(size, list) and len(size) == 2 and all(map(_is_count, size))
        ):
            raise _damaged(path, f"image_size_px is {size!r}; expected width and height or null")
        return cls(
            recurrent=_recurrent_from_file(path, tensors, values, network),
            tracks=_tracks_from_file(path, tensors, values["next_id"], network.config),
            world_from_segment=_take_pose(path, tensors, "world_from_segment"),
            world_from_camera=_take_pose(path, tensors, "world_from_camera"),
            session=values["session"],
            frame_index=values["frame_index"],
            last_stamp_ns=stamp,
            image_size_px=None if size is None else (size[0], size[1]),
        )


def _recurrent_from_file(
    path: str | Path, tensors: dict[str, Tensor], values: dict[str, Any], network: Human3R
) -> RecurrentState:
    config = network.config
    width = config.decoder_width
    tokens = _take(path, tensors, "state.tokens", (1, config.state_tokens, width))
    memory = _take(path, tensors, "state.memory", (1, config.memory_slots, 2 * width))
    is_first = values.get("is_first")
    if not isinstance(is_first, bool):
        raise _damaged(path, f"is_first is {is_first!r}; expected true or false")
    return RecurrentState(tokens.to(network.device), memory.to(network.device), is_first)


def _tracks_from_file(
    path: str | Path, tensors: dict[str, Tensor], next_id: int, config: NetworkConfig
) -> TrackMemory:
    seen = tensors.get("tracks.track_ids")
    people = 0 if seen is None else seen.numel()
    tokens = _take(path, tensors, "tracks.tokens", (people, config.decoder_width))
    track_ids = _take(path, tensors, "tracks.track_ids", (people,), torch.int64).numpy()
    seen_ns = _take(path, tensors, "tracks.seen_ns", (people,), torch.int64).numpy()
    if people and (track_ids.min() < 0 or track_ids.max() >= next_id):
        raise _damaged(path, f"tracks.track_ids are not all from 0 to below next_id {next_id}")
    return TrackMemory(tokens.numpy(), track_ids, seen_ns, next_id)


def _take_pose(path: str | Path, tensors: dict[str, Tensor], name: str) -> np.ndarray:
    pose = _take(path, tensors, name, (4, 4), torch.float64).numpy()
    rotation = pose[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) or tuple(pose[3]) != (
        0,
        0,
        0,
        1,
    ):
        raise _damaged(path, f"{name} is no rigid transform")
    return pose


def _take(
    path: str | Path,
    tensors: dict[str, Tensor],
    name: str,
    shape: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    tensor = tensors.get(name)
    if tensor is None:
        raise _damaged(path, f"{name} is missing")
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise _damaged(
            path, f"{name} is {tensor.dtype} {tuple(tensor.shape)}; expected {dtype} {shape}"
        )
    if dtype.is_floating_point and not bool(tensor.isfinite().all()):
        raise _damaged(path, f"{name} holds numbers that are not finite")
    return tensor


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _damaged(path: str | Path, what: str) -> InputError:
    return InputError(f"{path}: {what}. Save the stream again, or start without this file.")


def _write(
    path: str | Path, tensors: dict[str, Tensor], config: NetworkConfig, values: dict[str, Any]
) -> None:
    metadata = {
        "format": _FORMAT,
        "config": json.dumps(dataclasses.asdict(config), sort_keys=True),
        "values": json.dumps(values),
    }
    # Copies, because safetensors refuses tensors that share storage.
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with whole_file(Path(path)) as file:
        file.write(save(copies, metadata))


def _read(path: str | Path, config: NetworkConfig) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        if Path(path).stat().st_size > _MAX_FILE_BYTES:
            raise _damaged(path, f"is larger than {_MAX_FILE_BYTES} bytes; no stream's state is")
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            _check_header(path, metadata, config)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = json.loads(metadata["values"])
    except InputError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, f"cannot be read as safetensors: {error}") from error
    except (KeyError, ValueError, RecursionError) as error:
        raise _damaged(path, f"its values cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise _damaged(path, f"its values are a {type(values).__name__}; expected a mapping")
    return tensors, values


def _check_header(path: str | Path, metadata: dict[str, str], config: NetworkConfig) -> None:
    if metadata.get("format") != _FORMAT:
        raise _damaged(path, f"its format is {metadata.get('format')!r}; expected {_FORMAT!r}")
    try:
        theirs = json.loads(metadata.get("config", ""))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its network configuration cannot be read: {error}") from error
    ours = dataclasses.asdict(config)
    if theirs != ours:
        theirs = theirs if isinstance(theirs, dict) else {}
        other = [
            f"{k} {theirs.get(k)!r} instead of {v!r}" for k, v in ours.items() if theirs.get(k) != v
        ]
        raise InputError(
            f"{path}: saved by another network ({', '.join(other) or 'unknown sizes'}); expected "
            "the sizes of the one that is loaded. Load the matching weights, or start afresh."
        )
