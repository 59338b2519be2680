"""Depth, points and the way of the camera, with a calibrated camera.

python examples/04_depth_and_scene.py [VIDEO]
"""

import sys

import numpy as np

import human3r
from human3r.demo_clip import DEMO_CLIP_CAMERA, demo_clip_path

given = len(sys.argv) > 1
video = sys.argv[1] if given else demo_clip_path()
# Of your own camera: Intrinsics.from_matrix, Intrinsics.from_fov, human3r.io.read_intrinsics.
camera = None if given else DEMO_CLIP_CAMERA

pipeline = human3r.Pipeline.from_settings()
for estimate in human3r.run(video, intrinsics=camera, max_frames=8, pipeline=pipeline):
    depth = estimate.depth[estimate.depth > 0]
    cloud = pipeline.scene_points(estimate)
    print(
        f"{estimate.stamp_ns / 1e9:6.2f} s  depth {np.median(depth):.2f} m (median), {cloud}, "
        f"camera at {np.round(estimate.world_from_camera[:3, 3], 2)}"
    )
    for person in estimate.people:
        pixels = estimate.source_camera.project(person.joints_camera[:22])
        print(f"         person {person.track_id}, head at pixel {pixels[15].round().astype(int)}")
