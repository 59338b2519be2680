"""Puts people into the fixed world frame and follows them there.

python examples/02_people_in_the_world.py [VIDEO]
"""

import sys
from collections import defaultdict

import numpy as np

import human3r
from human3r.demo_clip import demo_clip_path

PELVIS = 0
video = sys.argv[1] if len(sys.argv) > 1 else demo_clip_path()

paths: dict[int, list[np.ndarray]] = defaultdict(list)
for estimate in human3r.run(video, max_frames=12):
    for person in estimate.people:
        paths[person.track_id].append(person.joints_world[PELVIS])

for track_id, path in sorted(paths.items()):
    way_m = np.linalg.norm(path[-1] - path[0])
    print(f"person {track_id}: seen in {len(path)} frames, {way_m:.2f} m from first to last place")
