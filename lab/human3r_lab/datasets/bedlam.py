"""BEDLAM in its published layout, as the same samples that the synthetic world gives.

Below one root:

    bedlam_labels/SCENE.npz                           imgname, pose_cam, shape, trans_cam, ...
    SCENE/png/seq_000000/seq_000000_0000.png          every 5th image of 30 per second
    SCENE/depth/seq_000000/seq_000000_0000_depth.exr  centimetres
    SCENE/masks/seq_000000/seq_000000_0000_env.png    white where no person is
    SCENE/ground_truth/camera/seq_000000_camera.csv   pose and focal length per frame

Source: Black et al. 2023 (BEDLAM); what is left out, as in the training of Human3R (arXiv
2510.06219).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from human3r.errors import InputError
from human3r.geometry import matrix_from_rotation_vector
from human3r.types import Intrinsics
from human3r_lab.datasets.bedlam_files import (
    LAYOUT,
    CameraRow,
    SceneLabels,
    read_cameras,
    read_exr_depth,
    read_labels,
)
from human3r_lab.datasets.files import read_rgb, require
from human3r_lab.datasets.sample import CONTACT_NAMES, PeopleTruth, ViewTruth

TEST_SCENES = (
    "20221018_1_250_batch01hand_zoom_suburb_b",
    "20221018_3_250_batch01hand_orbit_archVizUI3_time15",
    "20221019_3-8_250_highbmihand_orbit_stadium",
)
EXCLUDED_SCENES = (
    *("20221010_3_1000_batch01hand", "20221017_3_1000_batch01hand"),
    *("20221018_3-8_250_batch01hand", "20221019_3_250_highbmihand"),
)
"""Beginnings of the names of scenes before panorama pictures, which have no depth."""
CLOSE_UP = "closeup"
EXCLUDED_FILE = "excluded_sequences.txt"
"""Optional, below the root: ``SCENE/seq_000000`` per line, sequences with broken geometry."""
MAX_PEOPLE = 10
SOMEBODY = 255
"""In ``person_index``: the environment mask does not say who."""
_RATE_HZ = 30.0
_MIN_DEPTH_M = 0.01
_MAX_DEPTH_M = 200.0
_CM_PER_M = 100.0
_SENSOR_MM = (36.0, 20.25)


class SmplxPoser(Protocol):
    """What is needed of the SMPL-X body model; see ``human3r.body.load_body_model``."""

    def __call__(
        self,
        rotations: torch.Tensor,
        betas: torch.Tensor,
        expression: torch.Tensor,
        head_camera: torch.Tensor,
    ) -> Any:
        """Something with ``joints`` (people, joints, 3), the pelvis first."""
        ...

    def rest_joints(self, betas: torch.Tensor) -> torch.Tensor:
        """(people, 55, 3) before posing."""
        ...


@dataclass(frozen=True)
class BedlamSequence:
    """One sequence; used as a ``SequenceFile`` is."""

    path: Path
    """Folder of the images."""
    frames: Sequence[str]
    """Names of the frames, without ending."""
    cameras: Mapping[str, CameraRow]
    labels: SceneLabels
    body_model: SmplxPoser
    person_ids: Mapping[str, int]
    """By the name of the subject."""
    width_px: int = 1280
    height_px: int = 720

    @property
    def name(self) -> str:
        """Scene and sequence."""
        return f"{self.scene}/{self.path.name}"

    @property
    def scene(self) -> str:
        """The scene it is of."""
        return self.path.parent.parent.name

    @property
    def metadata(self) -> dict[str, Any]:
        """As a synthetic sequence has it."""
        return {
            "name": self.name,
            "split": "test" if self.scene in TEST_SCENES else "train",
            "rate_hz": 6.0,
            "body": "smplx_neutral",
        }

    def __len__(self) -> int:
        return len(self.frames)

    def view(self, index: int) -> ViewTruth:
        """One view; people are those in front of the camera, the ten nearest.

        Raises:
            InputError: a file is missing or damaged.
        """
        frame = self.frames[index]
        image = read_rgb(self.path / f"{frame}.png")
        height, width = image.shape[:2]
        camera = self.cameras[frame]
        scene = self.path.parent.parent
        depth = read_exr_depth(scene / "depth" / self.path.name / f"{frame}_depth.exr")
        mask = read_rgb(scene / "masks" / self.path.name / f"{frame}_env.png")[..., 0]
        for what, pixels in (("depth", depth), ("mask", mask)):
            if pixels.shape != image.shape[:2]:
                raise InputError(
                    f"{self.path / frame}: the {what} has shape {pixels.shape}, the image "
                    f"{image.shape[:2]}; expected the same. Get both again."
                )
        depth_m = depth / _CM_PER_M
        is_valid = np.isfinite(depth_m) & (depth_m > 0) & (depth_m <= _MAX_DEPTH_M)
        focal_px = [
            camera.focal_mm / side_mm * side_px
            for side_mm, side_px in zip(_SENSOR_MM, (width, height), strict=True)
        ]
        return ViewTruth(
            image=image,
            depth_m=np.where(is_valid, depth_m, 0).astype(np.float32),
            person_index=np.where(mask < 128, SOMEBODY, 0).astype(np.uint8),
            intrinsics=Intrinsics(*focal_px, (width - 1) / 2, (height - 1) / 2, width, height),
            world_from_camera=camera.world_from_camera,
            people=self._people(frame),
            stamp_ns=round((int(frame.rsplit("_", 1)[1]) + 1) * 1e9 / _RATE_HZ),
        )

    @torch.inference_mode()
    def _people(self, frame: str) -> PeopleTruth:
        labels = self.labels
        rows = labels.rows_of(f"{self.path.name}/{frame}.png")
        if not len(rows):
            return PeopleTruth.nobody()
        rotations = matrix_from_rotation_vector(torch.from_numpy(labels.rotation_vectors[rows]))
        betas = torch.from_numpy(labels.betas[rows])
        nothing = torch.zeros(len(rows), 10), torch.zeros(len(rows), 3)
        joints = self.body_model(rotations.float(), betas.float(), *nothing).joints
        # The body model puts the head at the origin; the labels move the rest pose's pelvis.
        pelvis = self.body_model.rest_joints(betas.float())[:, 0] + torch.from_numpy(
            labels.translations_m[rows]
        )
        heads = (pelvis - joints[:, 0]).numpy().astype(np.float32)
        order = np.argsort(np.linalg.norm(heads, axis=-1), kind="stable")
        kept = [row for row in order if heads[row, 2] > _MIN_DEPTH_M][:MAX_PEOPLE]
        return PeopleTruth(
            person_ids=np.array(
                [self.person_ids[labels.subjects[rows[row]]] for row in kept], np.int32
            ),
            rotations=rotations.numpy()[kept].astype(np.float32),
            betas=labels.betas[rows][kept].astype(np.float32),
            expression=np.zeros((len(kept), 10), np.float32),
            head_camera=heads[kept],
            contacts=np.zeros((len(kept), len(CONTACT_NAMES)), bool),
        )


def open_bedlam(root: str | Path, body_model: SmplxPoser, split: str) -> list[BedlamSequence]:
    """The sequences of a split, by name, without those that are left out.

    Args:
        root: folder with ``bedlam_labels`` and the scenes.
        body_model: neutral SMPL-X on the CPU; labels say where the pelvis is, samples the head.
        split: train or test.

    Raises:
        InputError: nothing there, damaged, or an unknown split.
    """
    if split not in ("train", "test"):
        raise InputError(f"split is {split!r}; expected train or test.")
    root = Path(root)
    labels = require(root / "bedlam_labels", LAYOUT)
    excluded = _excluded(root / EXCLUDED_FILE)
    found = []
    for path in sorted(labels.glob("*.npz")):
        scene = path.stem
        is_left_out = scene.startswith(EXCLUDED_SCENES) or CLOSE_UP in scene.lower()
        if is_left_out or (scene in TEST_SCENES) != (split == "test"):
            continue
        if (root / scene).is_dir():
            found += _scene(root / scene, read_labels(path), body_model, excluded)
    if not found:
        raise InputError(
            f"{root}: no sequence of the {split} split; expected scenes with labels. {LAYOUT}"
        )
    return found


def _scene(
    folder: Path, labels: SceneLabels, body_model: SmplxPoser, excluded: set[str]
) -> list[BedlamSequence]:
    found = []
    for path in sorted((folder / "png").glob("seq_*")):
        if f"{folder.name}/{path.name}" in excluded:
            continue
        cameras = read_cameras(folder / "ground_truth" / "camera" / f"{path.name}_camera.csv")
        frames = sorted(image.stem for image in path.glob(f"{path.name}_*.png"))
        missing = [frame for frame in frames if frame not in cameras]
        if missing:
            raise InputError(
                f"{path}: {len(missing)} frames have no camera, first {missing[0]}; expected one "
                f"for each. {LAYOUT}"
            )
        if frames:
            subjects = sorted(labels.subjects_of(path.name))
            ids = {subject: number for number, subject in enumerate(subjects, start=1)}
            found.append(BedlamSequence(path, frames, cameras, labels, body_model, ids))
    return found


def _excluded(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    try:
        return {line.strip() for line in path.read_text(encoding="utf-8").splitlines()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Correct or remove it.") from error
