"""What a run leaves behind. Writers take one estimate after the other and keep memory flat.

| file | content | writer |
| --- | --- | --- |
| ``frames/000000.npz`` | depth, confidence, image, camera and people of one frame | FrameFiles |
| ``people.npz`` | every person of every frame in flat arrays | PeopleFile |
| ``trajectory.tum`` | camera path, TUM format | TrajectoryFile |
| ``scene.ply`` | static scene, coloured points in the world frame | SceneFile |

``numpy.load`` opens the npz files; none holds objects, so ``allow_pickle`` is not needed.
"""

from typing import Protocol

from human3r.atomic import ResultFolder, whole_file
from human3r.io.frame_files import FrameFiles
from human3r.io.people_file import PeopleFile
from human3r.io.scene_file import SceneFile, write_ply
from human3r.io.trajectory import TrajectoryFile, read_trajectory
from human3r.types import Frame, FrameEstimate

__all__ = [
    "FrameFiles",
    "PeopleFile",
    "ResultFolder",
    "ResultWriter",
    "SceneFile",
    "TrajectoryFile",
    "read_trajectory",
    "whole_file",
    "write_ply",
]


class ResultWriter(Protocol):
    """Takes the results of a run in order, then completes its file."""

    def add(self, frame: Frame, estimate: FrameEstimate) -> None:
        """One more frame with what is known of it."""
        ...

    def finish(self) -> None:
        """Complete the file and give it its name."""
        ...

    def abort(self) -> None:
        """Give up: nothing of the file is left. Does nothing after ``finish``."""
        ...
