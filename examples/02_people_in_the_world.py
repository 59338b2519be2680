"""Puts people into the fixed world frame and follows them there.

python examples/02_people_in_the_world.py VIDEO WEIGHTS.safetensors BODY.npz
"""

import sys
from collections import defaultdict

import numpy as np

from human3r import Pipeline, Settings
from human3r.io import open_source

if len(sys.argv) != 4:
    sys.exit(__doc__)
video, weights, body_model = sys.argv[1:]
pipeline = Pipeline.from_settings(
    Settings().replace({"model.weights": weights, "model.body_model": body_model})
)

pelvis_world: dict[int, list[np.ndarray]] = defaultdict(list)
with open_source(video) as source:
    for frame in source:
        estimate = pipeline.step(frame)
        rotation = estimate.world_from_camera[:3, :3]
        camera_world = estimate.world_from_camera[:3, 3]
        for person in estimate.people:
            pelvis_world[person.track_id].append(rotation @ person.joints_camera[0] + camera_world)

for track_id, path in pelvis_world.items():
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    print(f"person {track_id}: seen in {len(path)} frames, moved {steps.sum():.2f} m")
