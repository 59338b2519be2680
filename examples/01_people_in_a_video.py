"""The shortest useful program: who is where in a video.

python examples/01_people_in_a_video.py [VIDEO]
"""

import sys

import human3r
from human3r.demo_clip import demo_clip_path

video = sys.argv[1] if len(sys.argv) > 1 else demo_clip_path()
for estimate in human3r.run(video, max_frames=12):
    for person in estimate.people:
        place = ", ".join(f"{value:+.2f}" for value in person.body.head_camera)
        print(f"{estimate.stamp_ns / 1e9:8.3f} s  person {person.track_id} at ({place}) m")
