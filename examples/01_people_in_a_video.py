"""The shortest useful program: who is where in a video.

python examples/01_people_in_a_video.py VIDEO WEIGHTS.safetensors BODY.npz
"""

import sys

from human3r import Pipeline, Settings
from human3r.io import open_source

if len(sys.argv) != 4:
    sys.exit(__doc__)
video, weights, body_model = sys.argv[1:]
pipeline = Pipeline.from_settings(
    Settings().replace({"model.weights": weights, "model.body_model": body_model})
)

with open_source(video) as source:
    for frame in source:
        estimate = pipeline.step(frame)
        for person in estimate.people:
            place = ", ".join(f"{value:+.2f}" for value in person.body.head_camera)
            print(f"{frame.stamp_ns / 1e9:8.3f} s  person {person.track_id} at ({place}) m")
