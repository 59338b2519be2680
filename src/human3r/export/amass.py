"""SMPL-X parameters in the layout of AMASS (the SMPL-X N files): one npz per person.

A reader poses the body model with ``betas`` and ``poses`` and adds ``trans``. The root turns the
body about the pelvis of the rest pose, so ``trans`` is the pelvis minus that rest pelvis.
Source of the layout: Mahmood et al. 2019 (AMASS), and the files' own description.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from human3r.atomic import whole_file
from human3r.export.bvh import motion_about
from human3r.export.clip import Clip, steady
from human3r.export.skin import Skin


def write(clip: Clip, skin: Skin, folder: Path) -> dict[str, Any]:
    """Write ``person_ID.npz`` for each person; returns what the manifest adds.

    Raises:
        OutputError: not writable.
    """
    files = {}
    for person in clip.people:
        motion, betas = steady(clip, person), skin.betas(person)
        vectors = Rotation.from_matrix(motion.rotations.reshape(-1, 3, 3)).as_rotvec()
        poses = vectors.reshape(len(motion.root), -1)
        name = f"{person.name}.npz"
        with whole_file(folder / name) as file:
            np.savez(
                file,
                gender=np.array("neutral"),
                surface_model_type=np.array("smplx"),
                mocap_frame_rate=np.array(clip.rate_hz),
                mocap_framerate=np.array(clip.rate_hz),
                mocap_time_length=np.array(len(poses) / clip.rate_hz),
                trans=motion.root - skin.rest_pelvis(person),
                poses=poses,
                root_orient=poses[:, :3],
                pose_body=poses[:, 3:66],
                pose_jaw=poses[:, 66:69],
                pose_eye=poses[:, 69:75],
                pose_hand=poses[:, 75:165],
                betas=betas,
                num_betas=np.array(len(betas)),
                expression=motion.expressions,
                scale=np.array(person.scale),
                body_model=np.array(clip.body_model),
                axes=np.array(clip.world.axes),
                flat_hand_mean=np.array(True),
            )
        files[name] = motion_about(motion) | {"scale": person.scale}
    return {
        "convention": "joints = scale * model(betas, poses) + trans; trans already holds the rest "
        "pelvis times scale; hands are about the flat hand (flat_hand_mean=True)",
        "files": files,
    }
