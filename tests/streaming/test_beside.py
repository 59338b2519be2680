"""Two cameras' streams through one set of networks: each as if it were alone."""

import numpy as np

from human3r.demo_clip import DEMO_CLIP_CAMERA, demo_clip_path
from human3r.io import open_source
from human3r.pipeline import Pipeline
from human3r.types import Frame


def test_streams_beside_each_other_share_networks_and_nothing_else():
    with open_source(demo_clip_path(), every=4, max_frames=3) as source:
        images = [frame.image for frame in source]
    # Another camera: the same place in a mirror.
    cameras = images, [np.ascontiguousarray(image[:, ::-1]) for image in images]

    def steps(pipeline, images):
        for number, image in enumerate(images):
            frame = Frame(image, 1 + number * 10**8, DEMO_CLIP_CAMERA)
            yield pipeline.step(frame)

    first = Pipeline.from_settings()
    alone = [list(steps(first, images)) for images in cameras if not first.reset()]
    first.reset()
    second = first.beside()
    assert second.network is first.network
    assert second._scene is first._scene
    assert second._landmarks is not first._landmarks
    assert second._landmarks._finder._landmarker is first._landmarks._finder._landmarker
    together = list(zip(steps(first, cameras[0]), steps(second, cameras[1]), strict=True))
    for want, got in zip(alone, zip(*together, strict=True), strict=True):
        assert any(estimate.people for estimate in want)
        for a, b in zip(want, got, strict=True):
            assert len(a.people) == len(b.people)
            for one, other in zip(a.people, b.people, strict=True):
                assert np.allclose(one.joints_camera, other.joints_camera, atol=1e-4)
            assert np.allclose(a.depth, b.depth, rtol=1e-4)
    # One camera may go without taking the other's networks with it.
    first.close()
    assert second.step(Frame(images[0], 10**12, DEMO_CLIP_CAMERA)).people
    second.close()
