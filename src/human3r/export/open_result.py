"""Opens whatever holds the result of a run: its folder, or a bag that was recorded of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from human3r.errors import InputError
from human3r.export.result import Result, read_result
from human3r.export.result_world import frames_of_one_world
from human3r.file_kind import refuse_other_kinds
from human3r.io.sources import BAG_SUFFIXES, is_bag_folder

_PEOPLE = "people.npz"
_EXPECTED = "the folder of a `human3r run` that saved people, or a bag with people in it"


def find_result(path: str | Path) -> Path:
    """The people.npz or the bag that a name means; nothing is read, and PyTorch not loaded.

    Args:
        path: as of ``open_result``.

    Raises:
        InputError: neither of them there.
    """
    path = Path(path).expanduser()
    people = path if path.name == _PEOPLE else path / _PEOPLE
    if people.is_file():
        return people
    if bag := _bag_of(path):
        return bag
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected {_EXPECTED}. Check the path.")
    if path.is_file():
        refuse_other_kinds(path, (), _EXPECTED, InputError)
    raise InputError(f"{path}: has no people.npz and is no bag; expected {_EXPECTED}. Name that.")


def open_result(
    path: str | Path,
    *,
    topic: str | None = None,
    session: int | None = None,
    all_worlds: bool = False,
) -> Result:
    """The result of a run, whose frames share one world.

    Args:
        path: folder of ``human3r run`` or of the demo, its ``people.npz``, a rosbag2 folder, .mcap
            or .db3 with people in it, or a folder that has such a bag in its ``bag``.
        topic: of the people, where a bag has several.
        session: number of one whose world is wanted; None: the world with the most frames.
        all_worlds: of a folder, take all frames, since places do not matter.

    Raises:
        InputError: none of these, damaged, or no such session or topic.
    """
    path = Path(path).expanduser()
    people = find_result(path)
    if people.name != _PEOPLE:
        from human3r.export.bag_result import read_bag_result

        return read_bag_result(people, topic, session)
    if topic is not None:
        raise InputError(f"{path}: --topic was given, but this is no bag. Leave it out.")
    result = read_result(people.parent)
    if all_worlds and session is None:
        return result
    wanted = frames_of_one_world(path, result.session, result.world_from_camera, session)
    return result if wanted.all() else _part(result, wanted)


def _bag_of(path: Path) -> Path | None:
    for place in (path, path / "bag"):
        if is_bag_folder(place) or (place.is_file() and place.suffix.lower() in BAG_SUFFIXES):
            return place
    return None


def _part(result: Result, wanted: np.ndarray) -> Result:
    """The frames of one world; a run keeps the scene of the last one only."""
    numbers = np.flatnonzero(wanted)
    new_number = np.cumsum(wanted) - 1
    rows = wanted[result.frame]
    by_row = ("track_id", "score", "rotations", "betas", "expression", "scale", "joints_camera")
    by_row += ("track_state", "visibility", "covariance")
    by_frame = ("stamps_ns", "session", "world_from_camera", "intrinsics", "size_px")
    changed = {name: _rows(getattr(result, name), rows) for name in by_row}
    changed |= {name: _rows(getattr(result, name), wanted) for name in by_frame}
    count = len(result.points_world) if wanted[-1] else 0
    return replace(
        result,
        **changed,
        frame=new_number[result.frame[rows]],
        points_world=result.points_world[:count],
        colors=result.colors[:count],
        images=_renumbered(result.images, numbers),
    )


def _rows(values: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[chosen]


def _renumbered(
    images: Callable[[], dict[int, np.ndarray]], numbers: np.ndarray
) -> Callable[[], dict[int, np.ndarray]]:
    def chosen() -> dict[int, np.ndarray]:
        found = images()
        return {new: found[old] for new, old in enumerate(numbers.tolist()) if old in found}

    return chosen
