"""Whatever writes a stream writes the same people: people.npz, a bag, the node, the benchmark."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from human3r_lab.clip_errors import demo_truth
from human3r_lab.evaluation.matched_frame import match_frame
from human3r_lab.evaluation.truth import FreeBodyScheme
from human3r_ros import convert, scene_messages
from human3r_ros.bag_results import BagResults
from rosbags.highlevel import AnyReader

from human3r.body import load_body_model
from human3r.body.default import default_body_path
from human3r.body.skeleton import published_joints
from human3r.config import Settings
from human3r.demo_clip import DEMO_CLIP_CAMERA, demo_clip_path
from human3r.io import open_source
from human3r.io.people_file import PeopleFile, about_body
from human3r.pipeline import Pipeline
from human3r.types import Frame, Intrinsics
from ros2_ws.src.human3r_ros.tests.test_processor import Desk

FRAMES, EVERY = 6, 10
"""Far enough apart for people to be missed, to coast and to come back."""
SETTINGS = Settings().replace({"input.max_age_s": 0.0, "tf.mode": "odometry"})


def clip(camera):
    with open_source(str(demo_clip_path()), every=EVERY, max_frames=FRAMES) as source:
        return [Frame(one.image, one.stamp_ns + 10**18, camera, "cam") for one in source]


def rows_of(humans, frame):
    return {
        (frame, human.track_id): (human.track_state, np.array(human.joint_positions))
        for human in humans
    }


@pytest.fixture(scope="module", params=[None, DEMO_CLIP_CAMERA], ids=["estimated", "calibrated"])
def told(request, tmp_path_factory):
    """The same frames through files and through the node, each with a pipeline of its own."""
    folder, frames = tmp_path_factory.mktemp("told"), clip(request.param)
    pipeline = Pipeline.from_settings(SETTINGS)
    about = about_body(pipeline.body_model, default_body_path())
    writers = [PeopleFile(folder / "people.npz", about), BagResults(folder / "bag", pipeline)]
    estimates = [pipeline.step(frame) for frame in frames]
    for frame, estimate in zip(frames, estimates, strict=True):
        for writer in writers:
            writer.add(frame, estimate)
    for writer in writers:
        writer.finish()
    pipeline.close()
    other = Pipeline.from_settings(SETTINGS)
    desk = Desk(other, is_listening=True)
    if request.param is not None:
        header = convert.header(frames[0].stamp_ns, "cam")
        desk.calibrations.store(scene_messages.camera_info(request.param, header))
    for frame in frames:
        desk.now_ns = frame.stamp_ns
        desk.handle(frame.stamp_ns, frame.image)
    other.close()
    return folder, estimates, desk.outlet


def bag_messages(folder: Path, topic: str):
    with AnyReader([folder / "bag"]) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        return [
            reader.deserialize(raw, connection.msgtype)
            for connection, _, raw in reader.messages(connections)
        ]


def test_file_bag_and_node_say_the_same_people(told):
    folder, _, outlet = told
    bag, node = {}, {}
    for index, array in enumerate(bag_messages(folder, "/human3r/humans")):
        bag |= rows_of(array.humans, index)
    for index, array in enumerate(outlet.of("humans")):
        node |= rows_of(array.humans, index)
    with np.load(folder / "people.npz") as file:
        names = tuple(file["joint_names"].tolist())
        keys = zip(file["frame"].tolist(), file["track_id"].tolist(), strict=True)
        published = file["joints_camera"][:, published_joints(names)]
        values = zip(
            file["track_state"].tolist(), published.reshape(len(published), -1), strict=True
        )
        rows = dict(zip(keys, values, strict=True))
    assert rows.keys() == bag.keys() == node.keys()
    assert len({number for _, number in rows}) >= 2
    for key, (state, joints) in rows.items():
        assert state == bag[key][0] == node[key][0], key
        assert np.array_equal(joints, bag[key][1]), key
        assert np.array_equal(joints, node[key][1]), key


def test_the_benchmark_scores_the_numbers_that_are_published(told):
    folder, estimates, _ = told
    scheme = FreeBodyScheme(load_body_model(default_body_path()))
    truth = demo_truth()[::EVERY][:FRAMES]
    with np.load(folder / "people.npz") as file:
        measured = file["track_state"] <= 1
        written = {
            index: set(file["track_id"][(file["frame"] == index) & measured].tolist())
            for index in range(FRAMES)
        }
    matched = [
        match_frame(replace(scheme.true_view(view), intrinsics=DEMO_CLIP_CAMERA), estimate, scheme)
        for view, estimate in zip(truth, estimates, strict=True)
    ]
    for index, frame in enumerate(matched):
        assert set(frame.track_ids.tolist()) <= written[index]
    assert sum(len(frame.track_ids) for frame in matched) >= FRAMES


def test_joint_pixels_depth_and_clouds_are_of_one_camera(told):
    _, estimates, outlet = told
    messages = zip(outlet.of("humans"), outlet.of("depth_info"), estimates, strict=True)
    for array, info, estimate in messages:
        network = Intrinsics(info.k[0], info.k[4], info.k[2], info.k[5], info.width, info.height)
        camera = estimate.geometry.source_intrinsics(network)
        for human in array.humans:
            joints = np.reshape(human.joint_positions, (-1, 3))
            pixels = np.reshape(human.joint_pixels, (-1, 2))
            seen = joints[:, 2] > 0.1
            assert np.abs(pixels[seen] - camera.project(joints[seen])).max() < 0.01
