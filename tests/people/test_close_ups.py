"""Hands and faces: what is seen of them turns fingers and jaw of the body.

``close_up_outputs.npz`` holds what the published graphs answer to a corner of the picture in
``original_outputs.npz``, run by LiteRT 2.3.0 (XNNPACK). The networks do not come with human3r:
tests that need them run where HUMAN3R_HOLISTIC names the package @mediapipe/holistic
0.5.1675471629 (.tgz), and are skipped elsewhere.
"""

import os
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from human3r.body import skeleton
from human3r.config import Settings
from human3r.demo_clip import demo_clip_path
from human3r.errors import BodyModelError, WeightsError
from human3r.io.sources import open_source
from human3r.people import convert, faces, hands
from human3r.people.close_ups import CloseUp, CloseUps, _Tracker
from human3r.people.faces import FaceLandmarks
from human3r.people.finder import PeopleFinder
from human3r.people.fit import fingers, jaw
from human3r.people.fit.close_up_pose import CloseUpPoser
from human3r.people.fit.fingers import HandSkeleton
from human3r.people.fit.fitter import FittedPerson
from human3r.people.fit.hand_fit import HandEvidence, fit_hands
from human3r.people.fit.rotations import matrices, vectors
from human3r.people.graph import GraphNetwork, load_network
from human3r.people.hands import HandLandmarks
from human3r.people.landmarks import Region
from human3r.people.tflite_file import Operator, TfliteFile
from human3r.pipeline import Pipeline
from human3r.streaming.people import LandmarkPeople
from human3r.types import BodyParameters
from tests.people.pictures import PERSON
from tests.people.posed_landmarks import CAMERA, FACING_CAMERA, body_model, shape

PACKAGE = os.environ.get("HUMAN3R_HOLISTIC", "")
ANSWERS = np.load(Path(__file__).with_name("close_up_outputs.npz"))
FRAME_NS = 40_000_000
needs_package = pytest.mark.skipif(
    not PACKAGE, reason="hand and face networks do not come with human3r (HUMAN3R_HOLISTIC)"
)


@cache
def hand_skeleton() -> HandSkeleton:
    return HandSkeleton(body_model())


def some_bends(seed: int, spread: float = 1.0) -> np.ndarray:
    """(2, 5, 3, 2) rad of both hands, bent by different amounts."""
    rng = np.random.default_rng(seed)
    flexion = rng.normal(0.4, 0.35 * spread, (2, 5, 3))
    sideways = rng.normal(0, 0.12 * spread, (2, 5, 3))
    sideways[..., 1:] = 0
    return np.clip(np.stack([flexion, sideways], -1), fingers.LEAST, fingers.MOST)


def some_rotations(seed: int, bends: np.ndarray) -> np.ndarray:
    """(53, 3, 3) of somebody who faces about the camera and holds the hands somehow."""
    rng = np.random.default_rng(seed)
    rotations = np.tile(np.eye(3), (53, 1, 1))
    rotations[0] = FACING_CAMERA @ matrices(np.array([0, rng.normal(0, 0.3), 0]))
    rotations[16:22] = matrices(rng.normal(0, 0.4, (6, 3)))
    rotations[22:52] = hand_skeleton().rotations(bends, np.array([0, 1])).reshape(30, 3, 3)
    return rotations


def posed_joints(rotations: np.ndarray) -> dict[str, np.ndarray]:
    """Joints and landmarks by name, metres, of a body about 2.5 m away."""
    given = (rotations, shape(fingers.ADULT_STATURE_M), np.zeros(10), [0.2, -0.5, 2.5])
    tensors = (torch.as_tensor(np.asarray(a, np.float32))[None] for a in given)
    with torch.inference_mode():
        joints = body_model()(*tensors).joints[0].double().numpy()
    return dict(zip(body_model().joint_names, joints, strict=True))


def hand_of(places: dict[str, np.ndarray], side: int, depth_noise_m: float = 0.0) -> HandLandmarks:
    """Landmarks of a hand as a network would give them, with links as long as people's."""
    name, points = hands.SIDES[side], np.zeros((21, 3))
    points[0] = places[f"{name}_wrist"]
    for row, finger in enumerate(fingers.ORDER):
        chain = np.stack([places[f"{name}_{finger}{link}"] for link in ("1", "2", "3", "")])
        steps = np.diff(np.concatenate([points[:1], chain]), axis=0)
        lengths = [fingers.PALM_LENGTHS_M[row], *fingers.LINK_LENGTHS_M[row]]
        steps *= (lengths / np.linalg.norm(steps, axis=1))[:, None]
        points[list(hands.FINGERS[finger])] = points[0] + np.cumsum(steps, 0)
    pixels = points[:, :2] / points[:, 2:] * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]
    noise = depth_noise_m * np.random.default_rng(side).standard_normal(21)
    region = Region(pixels.mean(0), 2 * float(np.ptp(pixels, axis=0).max()), 0.0)
    deep = points[:, 2] - points[:, 2].mean() + noise
    return HandLandmarks(1.0, float(side), pixels, deep, region)


def fitted_person(rotations: np.ndarray, places: dict[str, np.ndarray]) -> FittedPerson:
    """A fit that knows nothing of fingers and jaw."""
    known = rotations.astype(np.float32)
    known[22:] = np.eye(3)
    head = places["head"].astype(np.float32)
    body = BodyParameters(known, np.zeros(10, np.float32), np.zeros(10, np.float32), head)
    joints = np.stack([places[name] for name in skeleton.JOINT_NAMES[:22]])
    return FittedPerson(0, 7, body, joints, np.eye(6), fingers.ADULT_STATURE_M, 0.05, 0.5, False)


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.rad2deg(np.linalg.norm(vectors(np.swapaxes(a, -1, -2) @ b), axis=-1))


def poser(*, with_hands: bool = True, with_face: bool = True) -> CloseUpPoser:
    return CloseUpPoser(body_model(), hands=with_hands, face=with_face)


def test_fingers_and_wrists_come_back_from_their_landmarks():
    off_fingers, off_wrists = [], []
    for seed in range(12):
        true = some_rotations(seed, some_bends(seed))
        places = posed_joints(true)
        close_up = CloseUp((hand_of(places, 0, 0.01), hand_of(places, 1, 0.01)))
        wrong = true.copy()
        wrong[20:22] = true[20:22] @ matrices(np.array([[0.4, 0, 0.2], [-0.4, 0.2, 0]]))
        (found,) = poser().update(0, [fitted_person(wrong, places)], [close_up], CAMERA)
        off = degrees_between(found.body.rotations.astype(float), true)
        off_wrists += list(off[20:22])
        off_fingers += list(off[22:52])
        np.testing.assert_array_equal(found.body.rotations[:20], wrong[:20].astype(np.float32))
    assert np.median(off_fingers) < 6.5
    assert np.percentile(off_fingers, 90) < 18
    assert np.median(off_wrists) < 5
    assert np.max(off_wrists) < 15


def test_the_size_of_a_hand_says_how_far_it_turns_out_of_the_image():
    sides = np.tile([0, 1], 10)
    bends = np.concatenate([some_bends(seed, 0.5) for seed in range(10)])
    palms = matrices(np.random.default_rng(0).normal(0, 1, (20, 3)))
    points, _ = hand_skeleton().pose(palms, bends, sides)
    flattened = 0.4 * points[..., 2]
    given = HandEvidence(
        sides, points[..., :2] / 2, np.full(20, 0.004), flattened, np.full(20, 2.0)
    )
    turned = degrees_between(fit_hands(hand_skeleton(), given).palms, palms)
    by_depths = np.concatenate([points[..., :2], flattened[..., None]], -1)
    closed_form = degrees_between(hand_skeleton().palms(by_depths, sides), palms)
    assert np.median(turned) < 10
    assert np.median(turned) < 0.6 * np.median(closed_form)


def test_bends_stay_within_what_fingers_can_do():
    rng = np.random.default_rng(3)
    count = 50
    given = HandEvidence(
        rng.integers(0, 2, count),
        rng.normal(0, 0.05, (count, 21, 2)),
        np.full(count, 0.004),
        rng.normal(0, 0.1, (count, 21)),
        np.full(count, 2.0),
    )
    found = fit_hands(hand_skeleton(), given)
    assert np.isfinite(found.bends).all()
    assert (found.bends >= fingers.LEAST - 1e-9).all()
    assert (found.bends <= fingers.MOST + 1e-9).all()
    turns = np.linalg.det(found.palms)
    np.testing.assert_allclose(turns, 1, atol=1e-6)


def test_hands_out_of_sight_go_back_to_rest():
    true = some_rotations(0, some_bends(0))
    places = posed_joints(true)
    one, mine = fitted_person(true, places), poser()
    rest = one.body.rotations
    unseen = mine.update(0, [one], [CloseUp()], CAMERA)[0].body.rotations
    np.testing.assert_allclose(unseen, rest, atol=1e-6)
    close_up = CloseUp((hand_of(places, 0), None))
    seen = mine.update(FRAME_NS, [one], [close_up], CAMERA)[0].body.rotations
    assert degrees_between(seen[22:37].astype(float), rest[22:37].astype(float)).max() > 20
    np.testing.assert_allclose(seen[37:52], rest[37:52], atol=1e-6)
    late = [mine.update(k * FRAME_NS, [one], [CloseUp()], CAMERA)[0] for k in range(2, 60)]
    np.testing.assert_allclose(late[2].body.rotations, seen, atol=1e-6)
    np.testing.assert_allclose(late[-1].body.rotations, rest, atol=0.02)


def test_a_hand_that_no_wrist_carries_is_not_believed():
    true = some_rotations(1, some_bends(1))
    places = posed_joints(true)
    impossible = true.copy()
    impossible[18] = true[18] @ matrices(np.array([2.6, 0.0, 0.0]))
    one = fitted_person(impossible, places)
    close_up = CloseUp((hand_of(places, 0), None))
    (found,) = poser().update(0, [one], [close_up], CAMERA)
    np.testing.assert_allclose(found.body.rotations, one.body.rotations, atol=1e-6)


@pytest.mark.parametrize("opened", [0.0, 0.1, 0.25, 0.45])
def test_a_jaw_comes_back_from_the_lips(opened):
    rotations = some_rotations(2, some_bends(2))
    rotations[skeleton.HEAD] = matrices(np.array([0.3, 0.5, -0.2]))
    rotations[-1] = jaw.jaw_rotation(opened)
    places = posed_joints(rotations)
    points = np.zeros((faces.NUM_POINTS, 3))
    points[list(jaw.LIPS)] = places["lip_top"], places["lip_bottom"]
    points[list(jaw.EYE_CORNERS)] = places["right_eye1"], places["left_eye1"]
    face = FaceLandmarks(1.0, 400 * points + 100, Region(np.zeros(2), 100.0, 0.0))
    one = fitted_person(rotations, places)
    (found,) = poser().update(0, [one], [CloseUp(face=face)], CAMERA)
    assert abs(np.rad2deg(vectors(found.body.rotations[-1].astype(float))[0] - opened)) < 2
    assert np.linalg.norm(vectors(found.body.rotations[-1].astype(float))) <= jaw.MAX_RAD + 1e-6


def test_switched_off_nothing_is_looked_at_and_bodies_are_the_same_ones():
    close_ups = CloseUps()
    people = PeopleFinder()(PERSON)
    assert people
    assert close_ups(PERSON, people) == [CloseUp()] * len(people)
    assert close_ups.timing == {}
    true = some_rotations(0, some_bends(0))
    places = posed_joints(true)
    fitted = [fitted_person(true, places)]
    seen = [CloseUp((hand_of(places, 0), hand_of(places, 1)))]
    assert poser(with_hands=False, with_face=False).update(0, fitted, seen, CAMERA) is fitted
    assert Settings().people.hands == Settings().people.face == ""


@pytest.mark.parametrize("name", ["hands", "face"])
def test_missing_weights_say_what_to_get(tmp_path, name):
    for path in (tmp_path, tmp_path / "none.safetensors"):
        people = replace(Settings().people, **{name: str(path)})
        settings = replace(Settings(), people=people)
        with pytest.raises(WeightsError, match=f"people.{name}=.*npm pack.*weights convert"):
            LandmarkPeople(body_model(), settings, torch.device("cpu"))


def test_a_body_without_finger_tips_is_refused():
    class Nameless:
        joint_names = skeleton.JOINT_NAMES
        name = "nameless"

        def __getattr__(self, name):
            return getattr(body_model(), name)

        def __call__(self, *args):
            mesh = body_model()(*args)
            return replace(mesh, joints=mesh.joints[:, : len(self.joint_names)])

    with pytest.raises(BodyModelError, match=r"people\.hands off"):
        CloseUpPoser(Nameless(), hands=True, face=False)
    with pytest.raises(BodyModelError, match=r"people\.face off"):
        CloseUpPoser(Nameless(), hands=False, face=True)


def test_the_layers_of_these_networks_are_converted_as_the_format_says():
    rng = np.random.default_rng(0)
    slopes, weights, bias = rng.normal(size=(1, 1, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)
    file = TfliteFile(
        operators=(
            Operator("PRELU", (0, 1), 2, None),
            Operator("MEAN", (2, 3), 4, None),
            Operator("FULLY_CONNECTED", (4, 5, 6), 7, None),
            Operator("LOGISTIC", (7,), 8, None),
        ),
        shapes=((1, 5, 6, 4), (1, 1, 4), (1, 5, 6, 4), (2,), (1, 4), (3, 4), (3,), (1, 3), (1, 3)),
        constants={1: slopes, 3: np.array([1, 2]), 5: weights, 6: bias},
        inputs=(0,),
        outputs=(7, 8),
    )
    builder = convert._Builder("some", "")
    convert._add_tflite(builder, file)
    network = GraphNetwork(builder.file())
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in builder.tensors.items()})
    image = rng.normal(size=(2, 5, 6, 4))
    with torch.inference_mode():
        rows, scores = network.double()(torch.from_numpy(image).permute(0, 3, 1, 2))
    expected = np.where(image > 0, image, image * slopes).mean((1, 2)) @ weights.T + bias
    np.testing.assert_allclose(rows.flatten(1).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(scores.flatten(1).numpy(), 1 / (1 + np.exp(-expected)), atol=1e-6)


@needs_package
def test_networks_of_the_package_answer_as_the_published_graphs(tmp_path):
    written = {p.stem: p for p in convert.convert_people_networks(PACKAGE, tmp_path)}
    for name, side in (("hand_landmark_full", 224), ("face_landmark", 192)):
        image = torch.from_numpy(PERSON[:side, :side].astype(np.float32) / 255)
        with torch.inference_mode():
            answers = load_network(written[name], name)(image.permute(2, 0, 1)[None])
        assert len(answers) == sum(key.startswith(name) for key in ANSWERS.files)
        for k, answer in enumerate(answers):
            np.testing.assert_allclose(answer.ravel(), ANSWERS[f"{name}_{k}"], atol=1e-3)


class Looks:
    """Sees hands at known places, if a region is no more than twice too large, and counts."""

    def __init__(self, *places: tuple[float, float]) -> None:
        self.places, self.regions = [np.array(place) for place in places], []

    def __call__(self, crops: np.ndarray, regions: list[Region]) -> list[HandLandmarks]:
        self.regions += regions
        return [self.see(region) for region in regions]

    def see(self, region: Region) -> HandLandmarks:
        place = min(self.places, key=lambda p: np.hypot(*(p - region.centre)))
        is_seen = np.hypot(*(place - region.centre)) < region.side / 2 and region.side < 120
        pixels = np.tile(place, (21, 1)) + np.linspace(0, 1, 21)[:, None]
        return HandLandmarks(0.9 if is_seen else 0.1, 0.0, pixels, np.zeros(21), region)


def tracker(look: Looks, most: int = 8) -> _Tracker[HandLandmarks]:
    def follow(hand: HandLandmarks) -> Region:
        return Region(hand.pixels[0] + [2.0, 0.0], 60.0, 0.0)

    return _Tracker(look, 32, follow, lambda hand, key: hand.score > 0.5, most)


def region_at(x: float, y: float, side: float = 80.0) -> Region:
    return Region(np.array([x, y]), side, 0.0)


PICTURE = np.zeros((240, 320, 3), np.uint8)


def test_a_rough_region_is_looked_at_twice_and_then_followed():
    look = Looks((100.0, 100.0))
    mine = tracker(look)
    assert not mine(PICTURE, {(0, 0): None})
    assert set(mine(PICTURE, {(0, 0): region_at(130, 100, 150)})) == {(0, 0)}
    assert [region.side for region in look.regions] == [150.0, 60.0]
    look.regions.clear()
    mine(PICTURE, {(0, 0): region_at(130, 100, 150)})
    assert [region.centre[0] for region in look.regions] == [102.0]


def test_a_part_that_is_lost_is_searched_again_in_the_same_image():
    look = Looks((100.0, 100.0))
    mine = tracker(look)
    mine(PICTURE, {(0, 0): region_at(110, 100)})
    look.places = [np.array([145.0, 100.0])]
    assert mine(PICTURE, {(0, 0): region_at(140, 100)})[0, 0].pixels[0, 0] == 145.0
    look.places = [np.array([300.0, 200.0])]
    assert not mine(PICTURE, {(0, 0): region_at(140, 100)})


@pytest.mark.parametrize("most", [1, 3, 5])
def test_looks_are_bounded_and_the_largest_come_first(most):
    places = [(40.0 * k + 40, 120.0) for k in range(6)]
    look = Looks(*places)
    rough = {(k, 0): region_at(x, y, 60.0 + k) for k, (x, y) in enumerate(places)}
    seen = tracker(look, most)(PICTURE, rough)
    assert len(look.regions) == most
    assert set(seen) == {(5 - k, 0) for k in range(most)}


def test_parts_that_are_tiny_or_out_of_the_image_are_not_looked_at():
    look = Looks((100.0, 100.0))
    nowhere = {
        (0, 0): region_at(100, 100, 10),
        (1, 0): region_at(np.nan, 0),
        (2, 0): region_at(900, 0),
    }
    assert tracker(look)(PICTURE, nowhere) == {}
    assert tracker(look)(PICTURE[:8, :8], {(0, 0): region_at(200, 100)}) == {}
    assert not look.regions


def test_the_next_region_of_a_hand_holds_all_of_it():
    true = some_rotations(4, some_bends(4))
    hand = hand_of(posed_joints(true), 1)
    region = hands.next_hand_region(hand)
    inverse = np.linalg.inv(np.vstack([region.image_from_crop(hands.CROP_PX), [0, 0, 1]]))
    in_crop = hand.pixels @ inverse[:2, :2].T + inverse[:2, 2]
    assert (in_crop > 0).all()
    assert (in_crop < hands.CROP_PX).all()
    assert in_crop[9, 1] < in_crop[0, 1]  # fingers point up


@pytest.mark.slow
@needs_package
def test_hands_of_the_demo_clip_turn_wrists_and_fingers(tmp_path):
    convert.convert_people_networks(PACKAGE, tmp_path)
    people = replace(Settings().people, hands=str(tmp_path), face=str(tmp_path), max_regions=4)
    plain = Pipeline.from_settings(Settings())
    close = Pipeline.from_settings(replace(Settings(), people=people))
    turned = set()
    with closing(plain), closing(close), open_source(str(demo_clip_path())) as source:
        for frame in islice(source, 12):
            without, estimate = plain.step(frame), close.step(frame)
            assert {"hands", "face"} <= set(estimate.timings_s) - set(without.timings_s)
            for before, after in zip(without.people, estimate.people, strict=True):
                a, b = before.body.rotations, after.body.rotations
                turned |= set(np.flatnonzero((abs(a - b) > 0.01).any((1, 2))).tolist())
    assert {20, 21} & turned
    assert turned <= {20, 21, *range(22, 53)}
    assert len(turned) > 10
