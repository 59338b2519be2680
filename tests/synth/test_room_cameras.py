"""Several cameras before one scene: the same people at the same times, from different sides."""

import numpy as np
import pytest
from human3r_lab.synth.generator import render_sequence
from human3r_lab.synth.orders import Order, list_orders

from human3r.errors import InputError


def orders(**changes):
    wanted = {"split": "test", "difficulty": "easy", "frames": 2, "rate_hz": 4.0}
    return list_orders(2, 0, **{**wanted, "width_px": 32, "height_px": 24, **changes})


def test_one_order_per_camera_with_names_of_their_own():
    found = orders(cameras=3)
    assert len(found) == 6
    assert len({order.name for order in found}) == 6
    assert found[0].scene == found[2].scene != found[3].scene
    assert found[1].metadata()["camera"] == 1
    assert found[1].metadata()["scene"] == found[0].scene


def test_one_camera_is_what_it_was():
    (order, _) = orders()
    assert order.name == "test-easy-000000"
    assert "camera" not in order.metadata()
    assert "cameras" not in order.arguments()


@pytest.mark.parametrize("cameras", [0, 5])
def test_other_numbers_of_cameras_are_refused(cameras):
    with pytest.raises(InputError, match="1 to 4 cameras"):
        Order(0, "test", "easy", 1, 1.0, 32, 24, cameras, 0).check()


@pytest.mark.slow
def test_cameras_stand_still_apart_and_see_the_same_people():
    views = [
        list(
            render_sequence(
                0,
                split="test",
                difficulty="easy",
                frames=2,
                rate_hz=2.0,
                width_px=64,
                height_px=48,
                cameras=2,
                camera=camera,
            )
        )
        for camera in range(2)
    ]
    for moments in zip(*views, strict=True):
        first, second = moments
        assert first.stamp_ns == second.stamp_ns
        heads = []
        for view in moments:
            pose = view.world_from_camera
            places = view.people.head_camera @ pose[:3, :3].T + pose[:3, 3]
            heads.append(dict(zip(view.people.person_ids.tolist(), places, strict=True)))
        shared = heads[0].keys() & heads[1].keys()
        assert shared
        for person in shared:
            assert np.allclose(heads[0][person], heads[1][person], atol=1e-4)
        apart = first.world_from_camera[:3, 2] @ second.world_from_camera[:3, 2]
        assert apart < np.cos(np.radians(25))
    assert np.array_equal(views[0][0].world_from_camera, views[0][1].world_from_camera)
