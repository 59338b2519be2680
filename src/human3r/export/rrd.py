"""Rerun recordings: people as annotated keypoints and meshes, cloud, camera with its images.

Source of the layout: Rerun documentation, "Archetypes" and "Annotation context".
"""

# pyright: reportAttributeAccessIssue=false
# rerun makes its names when it is imported.

from pathlib import Path

import cv2
import numpy as np
import rerun as rr

from human3r.atomic import output_errors, part_path
from human3r.body.skeleton import JOINT_PARENTS, NUM_JOINTS
from human3r.export.clip import Clip, Person
from human3r.export.formats import manifest
from human3r.export.skin import Skin
from human3r.viewer.colors import person_color

_AXES = {
    "level": rr.ViewCoordinates.FLU,
    "yup": rr.ViewCoordinates.RUB,
    "camera": rr.ViewCoordinates.RDF,
}
_MAX_MESHES = 300
"""Of all people together, 165 kB each; beyond, each mesh is in every n-th frame only."""


def write(clip: Clip, skin: Skin, path: Path) -> None:
    """Write one recording; its timelines are ``frame`` and ``time``.

    Raises:
        OutputError: not writable.
    """
    part = part_path(path)
    with output_errors(path):
        try:
            part.touch()
            with rr.RecordingStream("human3r", recording_id=clip.source) as recording:
                recording.save(part)
                _log_static(recording, clip)
                _log_cameras(recording, clip)
                step = 1 + sum(len(person.frames) for person in clip.people) // (_MAX_MESHES + 1)
                for person in clip.people:
                    _log_person(recording, clip, skin, person, step)
                recording.disconnect()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _log_static(recording: rr.RecordingStream, clip: Clip) -> None:
    recording.log("/", _AXES[clip.world.name], static=True)
    about = manifest(clip)
    words = "\n".join(f"{key}: {about[key]}" for key in ("made_by", "source", "axes", "up_from"))
    recording.log("about", rr.TextDocument(words), static=True)
    recording.log("people", _people_context(clip), static=True)
    cloud = rr.Points3D(clip.points, colors=clip.colors, radii=0.01)
    recording.log("cloud", cloud, static=True)
    places = clip.clip_from_camera[:, :3, 3]
    recording.log("camera_path", rr.LineStrips3D([places], colors=(255, 196, 84)), static=True)


def _people_context(clip: Clip) -> rr.AnnotationContext:
    """Names of people and joints, and which joints are connected."""
    joints = [
        rr.AnnotationInfo(id=number, label=name)
        for number, name in enumerate(clip.joint_names[:NUM_JOINTS])
    ]
    bones = [(parent, joint) for joint, parent in enumerate(JOINT_PARENTS) if parent >= 0]
    return rr.AnnotationContext(
        [
            rr.ClassDescription(
                info=rr.AnnotationInfo(
                    id=person.track_id, label=person.name, color=person_color(person.track_id)
                ),
                keypoint_annotations=joints,
                keypoint_connections=bones,
            )
            for person in clip.people
        ]
    )


def _at(recording: rr.RecordingStream, clip: Clip, frame: int) -> None:
    recording.set_time("frame", sequence=frame)
    recording.set_time("time", duration=float(clip.times_s[frame]))


def _log_cameras(recording: rr.RecordingStream, clip: Clip) -> None:
    images = clip.images()
    for frame, pose in enumerate(clip.clip_from_camera):
        _at(recording, clip, frame)
        place = rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
        recording.log("camera", place)
        width, height = clip.size_px[frame].tolist()
        scale = 1.0
        if frame in images:
            scale = images[frame].shape[1] / width
            width, height = images[frame].shape[1::-1]
            done, data = cv2.imencode(".jpg", images[frame][..., ::-1])
            if done:
                image = rr.EncodedImage(contents=data.tobytes(), media_type="image/jpeg")
                recording.log("camera/image", image)
        lens = rr.Pinhole(
            image_from_camera=_resized(clip.intrinsics[frame], scale),
            resolution=(width, height),
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=0.35,
        )
        recording.log("camera/image", lens)


def _resized(intrinsics: np.ndarray, scale: float) -> np.ndarray:
    """The camera matrix of an image ``scale`` times as large; pixel corners stay together."""
    resized = np.array(intrinsics)
    resized[:2] *= scale
    resized[:2, 2] += 0.5 * scale - 0.5
    return resized


def _log_person(
    recording: rr.RecordingStream, clip: Clip, skin: Skin, person: Person, step: int
) -> None:
    color = person_color(person.track_id)
    is_seen = np.isin(np.arange(len(clip.stamps_ns)), person.frames)
    for frame in range(len(clip.stamps_ns)):
        if not is_seen[frame] and frame > 0 and is_seen[frame - 1]:
            _at(recording, clip, frame)
            recording.log(f"people/{person.name}", rr.Clear(recursive=True))
    skin_entity = f"people/{person.name}/skin"
    surface = rr.Mesh3D.from_fields(triangle_indices=skin.faces, albedo_factor=(*color, 255))
    recording.log(skin_entity, surface, static=True)
    posed = person.posed()
    for row, vertices in enumerate(skin.vertices(person)):
        frame = int(person.frames[row])
        _at(recording, clip, frame)
        joints = rr.Points3D(
            posed[row],
            class_ids=person.track_id,
            keypoint_ids=np.arange(NUM_JOINTS),
            radii=0.012,
            show_labels=False,
        )
        recording.log(f"people/{person.name}/joints", joints)
        if row % step == 0:
            recording.log(skin_entity, rr.Mesh3D.from_fields(vertex_positions=vertices))
