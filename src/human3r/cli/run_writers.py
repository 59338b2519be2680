"""What a run leaves in its folder: a writer for each kind of result that was asked for."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.errors import ConfigError, Human3RError, OutputError
from human3r.plugins import WRITERS, load_plugin

if TYPE_CHECKING:
    import numpy as np

    from human3r.io.results import ResultWriter
    from human3r.pipeline import Pipeline
    from human3r.types import Frame, FrameEstimate, PointSet

RESULTS = {
    "people": "people.npz",
    "trajectory": "trajectory.tum",
    "scene": "scene.ply",
    "overlay": "overlay.mp4 or overlay.png",
    "view": "view.png",
    "frames": "an npz file per frame, with depth: large",
    "bag": "a rosbag2",
}
"""What ``--save`` can name."""
USUAL = ("people", "trajectory", "scene", "overlay", "view")
"""What is written unless ``--save`` says otherwise."""


def wanted_results(text: str) -> list[str]:
    """The results that ``--save`` names; all of them for ``all``; ``+name`` adds to the usual.

    Raises:
        ConfigError: an unknown name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(RESULTS)
    added = [name.removeprefix("+") for name in names]
    unknown = [name for name in added if name not in RESULTS]
    if unknown:
        raise ConfigError(
            f"--save names {', '.join(unknown)}; expected a list of {', '.join(RESULTS)}, or all; "
            "+NAME adds one to the usual. Separate them by commas."
        )
    is_addition = any(name.startswith("+") for name in names)
    return list(dict.fromkeys([*(USUAL if is_addition else ()), *added]))


def open_writers(
    folder: Path,
    wanted: list[str],
    pipeline: "Pipeline",
    note: str,
    world: str,
    num_frames: int | None,
) -> "list[ResultWriter]":
    """A writer for each of the results.

    Args:
        folder: where they go.
        wanted: keys of ``RESULTS``.
        pipeline: that makes the estimates.
        note: words for the pictures, for example that the weights are untrained.
        world: ``camera`` or ``level``: the axes of trajectory and scene.
        num_frames: that will come, where it is known.
    """
    from human3r.body import find_body_file
    from human3r.io.people_file import about_body
    from human3r.io.results import FrameFiles, PeopleFile, TrajectoryFile
    from human3r.viewer.overlay_files import OverlayFiles

    settings, faces = pipeline.settings, pipeline.body_model.faces
    is_level = world == "level"
    writers: list[ResultWriter] = []
    with aborting(writers):
        if "frames" in wanted:
            writers.append(FrameFiles(folder / "frames", num_frames))
        if "people" in wanted:
            body_file = find_body_file(Path(settings.model.body_model))
            about = about_body(pipeline.body_model, body_file, settings.level.pitch_rad)
            writers.append(PeopleFile(folder / "people.npz", about))
        if "trajectory" in wanted:
            writers.append(TrajectoryFile(folder / "trajectory.tum", is_level=is_level))
        if "overlay" in wanted:
            writers.append(OverlayFiles(folder, faces, note))
        if "bag" in wanted:
            writers.append(load_plugin(WRITERS, "bag")(folder / "bag", pipeline))
        writers += scene_writers(
            folder,
            wanted,
            faces,
            pipeline.scene_points,
            note,
            voxel_m=settings.scene.voxel_m,
            pitch_rad=settings.level.pitch_rad,
            is_level=is_level,
        )
    return writers


def scene_writers(
    folder: Path,
    wanted: Collection[str],
    faces: "np.ndarray",
    scene_points: "Callable[[FrameEstimate], PointSet]",
    note: str = "",
    *,
    voxel_m: float = 0.0,
    pitch_rad: float = 0.0,
    is_level: bool = False,
) -> "list[ResultWriter]":
    """Writers of ``scene.ply`` and ``view.png``, which share one cloud.

    Args:
        folder: where they go.
        wanted: keys of ``RESULTS``; all but scene and view are ignored.
        faces: (faces, 3) triangles of the body mesh.
        scene_points: an estimate's points without people, camera frame.
        note: words for the picture.
        voxel_m: the setting ``scene.voxel_m``.
        pitch_rad: the setting ``level.pitch_rad``.
        is_level: the axes of the scene.
    """
    if "scene" not in wanted and "view" not in wanted:
        return []
    from human3r.io.scene_cloud import SceneCloud
    from human3r.io.scene_file import DEFAULT_VOXEL_M, SceneFile
    from human3r.viewer.view_file import ViewCollector, ViewFile

    cloud = SceneCloud(voxel_m or DEFAULT_VOXEL_M)
    target = folder / "scene.ply" if "scene" in wanted else None
    writers: list[ResultWriter] = [SceneFile(target, scene_points, cloud, is_level=is_level)]
    if "view" in wanted:
        collector = ViewCollector(faces, cloud, pitch_rad)
        writers.append(ViewFile(folder / "view.png", collector, note))
    return writers


@contextmanager
def aborting(writers: "list[ResultWriter]") -> Iterator[None]:
    """Let no writer keep half a file open when something fails."""
    try:
        yield
    except BaseException:
        for writer in writers:
            writer.abort()
        raise


def write(writers: "list[ResultWriter]", frame: "Frame", estimate: "FrameEstimate") -> None:
    """One more frame into every file.

    Raises:
        OutputError: one of them cannot be written any more; it keeps what it can.
    """
    for writer in list(writers):
        try:
            writer.add(frame, estimate)
        except OutputError:
            # The others are whole up to this frame or the one before.
            writers.remove(writer)
            writer.abort()
            raise


def finish(writers: "list[ResultWriter]") -> Human3RError | None:
    """Complete every file that can be; what the first one that cannot be says.

    Raises:
        OutputError: none can.
    """
    problem, num_whole = None, 0
    for writer in writers:
        try:
            writer.finish()
            num_whole += 1
        except OutputError as error:
            writer.abort()
            problem = problem or error
    if problem is not None and not num_whole:
        raise problem
    return problem
