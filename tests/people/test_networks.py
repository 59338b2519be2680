"""The converted networks answer as the published graphs do.

``original_outputs.npz`` holds an image (128x128, a person of the packaged demo clip), enlarged
twice by repetition, and what the published files answer to it: the ``.tflite`` files run by LiteRT
2.3.0 (XNNPACK), MoveNet by TensorFlow.js 4 on its ``cpu`` backend. Maps are thinned out.
"""

import json
import struct

import numpy as np
import pytest
import torch

from human3r.errors import WeightsError
from human3r.model.weights_file import sha256_of
from human3r.people.convert import convert_people_networks
from human3r.people.graph import load_network
from human3r.people.network_file import METADATA_KEY, describe_network, packaged_network_path
from tests.people.pictures import ORIGINAL, PERSON


def answers(name: str, image: np.ndarray) -> list[np.ndarray]:
    network = load_network(packaged_network_path(name), name)
    batch = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return [value.numpy() for value in network(torch.cat([batch, batch.flip(3)]))]


def test_landmarks_are_those_of_the_published_graph():
    marks, score, mask, heat, world = answers("pose_landmark_full", PERSON / 255)
    np.testing.assert_allclose(marks[0], ORIGINAL["full_landmarks"], atol=1e-3)
    np.testing.assert_allclose(world[0], ORIGINAL["full_world"], atol=1e-3)
    np.testing.assert_allclose(score[0], ORIGINAL["full_score"], atol=1e-3)
    thin = heat[0, :, ::8, ::8].transpose(1, 2, 0)
    np.testing.assert_allclose(thin, ORIGINAL["full_heat"], atol=1e-3)
    shown = torch.from_numpy(mask[0, 0, ::16, ::16]).sigmoid().numpy()
    expected = torch.from_numpy(ORIGINAL["full_mask"]).sigmoid().numpy()
    np.testing.assert_allclose(shown, expected, atol=1e-3)
    assert expected.max() > 0.9


def test_the_detector_answers_as_the_published_graph():
    boxes, logits = answers("pose_detection", PERSON[:224, :224] / 127.5 - 1)
    np.testing.assert_allclose(boxes[0, ::23], ORIGINAL["detector_boxes"], atol=2e-3)
    np.testing.assert_allclose(logits[0, :, 0], ORIGINAL["detector_logits"], atol=1e-3)


def test_movenet_answers_as_the_published_graph():
    names = ("center", "size", "offset", "heatmap", "regressed", "point_offset")
    for name, map_ in zip(
        names, answers("movenet_multipose", PERSON[:192] / 127.5 - 1), strict=True
    ):
        step = 1 if name == "center" else 8
        thin = map_[0, :, ::step, ::step].transpose(1, 2, 0)
        np.testing.assert_allclose(thin, ORIGINAL[f"movenet_{name}"], atol=1e-3)


def test_the_packaged_files_say_what_they_are():
    notice = packaged_network_path("NOTICE").with_suffix("").read_text()
    for name in ("pose_landmark_full", "pose_detection", "movenet_multipose"):
        path = packaged_network_path(name)
        described = describe_network(path)
        assert described["network"] == name
        assert sha256_of(path) in notice
        assert described["source"].removeprefix("sha256 ") in notice
    assert describe_network(packaged_network_path("NOTICE").with_suffix("")) is None


def test_without_onednn_the_answers_are_the_same():
    network = load_network(packaged_network_path("pose_landmark_full"), "pose_landmark_full")
    image = torch.from_numpy(PERSON.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        packed = network(image, (0, 4))
        for layer in network.layers:
            layer._packed = None
        plain = network(image, (0, 4))
    for a, b in zip(packed, plain, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)


def test_a_network_of_other_layers_is_refused(tmp_path):
    data = packaged_network_path("pose_landmark_full").read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    head = json.loads(data[8 : 8 + size])
    content = json.loads(head["__metadata__"][METADATA_KEY])
    content["layers"].append(["resize", [1], {"factor": 4096}])
    head["__metadata__"][METADATA_KEY] = json.dumps(content)
    raw = json.dumps(head).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + size :])
    with pytest.raises(WeightsError, match="holds 'pose_landmark_full' with layers"):
        load_network(path, "pose_landmark_full")


# The last is a gzip stream whose header ends within the name of the file.
_DAMAGED = [
    b"",
    b"\xff" * 64,
    struct.pack("<Q", 2) + b"{}",
    b"\0" * 999,
    b"\x1f\x8b\x08\x08" + b"x" * 9,
]


@pytest.mark.parametrize("content", _DAMAGED)
def test_damaged_files_say_what_is_wrong(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="expected"):
        load_network(path, "movenet_multipose")
    for name in ("p.tgz", "p.tflite", "p.data"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="Download"):
            convert_people_networks(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cut_off_weights_are_refused(tmp_path):
    data = packaged_network_path("pose_detection").read_bytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="is damaged"):
        load_network(path, "pose_detection")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_network(tmp_path / "none.safetensors", "pose_detection")
