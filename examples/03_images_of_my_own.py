"""Images from anywhere, one by one: a camera driver, a simulator, a decoder of your own.

python examples/03_images_of_my_own.py
"""

import numpy as np

from human3r import Intrinsics, Pipeline, Settings
from human3r.demo_clip import demo_clip_path
from human3r.io import open_source


def images() -> list[np.ndarray]:
    """Stands for your source: (height, width, 3) uint8 arrays, RGB."""
    with open_source(demo_clip_path(), max_frames=8) as source:
        return [frame.image for frame in source]


# Every setting of docs/settings.md, by section.
settings = Settings().replace(people={"max_regions": 4}, scene={"every": 2})
pipeline = Pipeline.from_settings(settings)
pipeline.images.rate_hz = 10.0  # For velocities. Frame(image, stamp_ns) brings its own time.

camera = Intrinsics.from_fov(67.0, 640, 480)
print(pipeline, camera, sep="\n")
for image in images():
    estimate = pipeline.step(image)
    for one in estimate.tracked:
        velocity = "unknown" if one.velocity_camera is None else np.round(one.velocity_camera, 2)
        print(f"person {one.number} {one.state.name}, velocity {velocity} m/s")
