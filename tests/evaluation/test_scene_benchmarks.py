"""TUM, 7-Scenes, Sintel, Bonn and KITTI through the evaluation, with a wall as every estimate."""

import numpy as np
import pytest
from human3r_lab.cli import evaluate as command
from human3r_lab.evaluation.benchmarks import BENCHMARKS, BenchmarkOptions
from human3r_lab.evaluation.measures import numbers
from human3r_lab.evaluation.recorded_sequences import FrameChoice, resized_to_patches
from human3r_lab.evaluation.runner import evaluate

from human3r.errors import InputError
from tests.datasets import published
from tests.evaluation.small_world import ToldPipeline
from tests.evaluation.test_smpl_benchmarks import flat_estimate


class WallPipeline(ToldPipeline):
    """Sees a wall at a distance, from a camera that moves 10 cm per frame."""

    def __init__(self, depth_m: float) -> None:
        super().__init__([])
        self.settings = self.settings.replace({"model.input_size": 64})
        self.depth_m = depth_m
        self.sizes_px, self.cameras = [], []
        self.frames = 0

    def step(self, frame):
        self.cameras.append(frame.intrinsics)
        self.sizes_px.append(frame.image.shape[1::-1])
        pose = np.eye(4)
        pose[0, 3] = 0.1 * self.frames
        self.frames += 1
        return flat_estimate(frame, None, pose, depth_m=self.depth_m)


def outcome(name, root, depth_m=5.0, **options):
    pipeline = WallPipeline(depth_m)
    with BENCHMARKS[name].open(BenchmarkOptions(root=root, **options), pipeline) as opened:
        done = evaluate(opened.sequences, pipeline, opened.scheme, depth=BENCHMARKS[name].depth)
        description = dict(opened.description)
    assert [result.error for result in done.results] == [""] * len(done.results)
    return numbers(done.results), pipeline, description


def test_tum_takes_every_third_frame_and_compares_the_path(tmp_path):
    published.tum(tmp_path / "rgbd_dataset_freiburg3_walking_xyz", frames=13)
    found, pipeline, description = outcome("tum", tmp_path)
    assert pipeline.frames == 5
    assert found["ate_m"] == pytest.approx(0, abs=1e-6)
    assert found["camera_scale"] == pytest.approx(3, rel=1e-6)
    assert description["frames_every"] == 3
    assert description["frames_most"] == 90
    _, pipeline, _ = outcome("tum", tmp_path, every=1, max_frames=4, first_frame=2)
    assert pipeline.frames == 4
    assert BENCHMARKS["tum"].settings["session.reset_interval"] == 100


def test_seven_scenes_have_depth_and_a_path_and_frames_name_their_camera_if_asked(tmp_path):
    published.seven_scenes(tmp_path / "chess" / "seq-03", frames=7)
    found, pipeline, description = outcome("7scenes", tmp_path, depth_m=2.0)
    assert pipeline.frames == 3
    assert pipeline.cameras == [None] * 3
    assert found["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["camera_scale"] == pytest.approx(3, rel=1e-6)
    assert found["ate_rigid_percent"] == pytest.approx(100 * np.sqrt(0.08 / 3) / 0.6, rel=1e-5)
    assert "calibrated" not in description
    _, pipeline, description = outcome("7scenes", tmp_path, is_calibrated=True)
    assert [camera.fx for camera in pipeline.cameras] == [525.0] * 3
    assert description["calibrated"] is True


def test_sintel_images_are_resized_whole_and_depth_is_aligned_per_sequence(tmp_path):
    published.sintel(tmp_path, "alley_2", frames=2)
    found, pipeline, _ = outcome("sintel", tmp_path, depth_m=4.0)
    assert set(pipeline.sizes_px) == {(64, 16)}
    # True depths are 5 m and 6 m in two equal images.
    assert found["abs_rel"] == pytest.approx((1 / 5 + 2 / 6) / 2, rel=1e-5)
    assert found["delta_1"] == pytest.approx(0)
    assert found["abs_rel_median"] == pytest.approx((0 + 1 / 6) / 2, rel=1e-5)
    assert found["delta_1_median"] == 1


def test_depth_beyond_seventy_metres_is_left_out_and_predictions_are_clipped(tmp_path):
    published.sintel(tmp_path, "bamboo_1", frames=1)
    (path,) = (tmp_path / "training" / "depth" / "bamboo_1").iterdir()
    values = np.full((30, 70), 35, "<f4")
    values[:15] = 80
    path.write_bytes(path.read_bytes()[:12] + values.tobytes())
    found, _, _ = outcome("sintel", tmp_path, depth_m=500.0)
    assert found["abs_rel"] == pytest.approx(1), "clipped at 70 where the truth is 35"


def test_bonn_and_kitti_read_their_own_units(tmp_path):
    published.tum(tmp_path / "bonn" / "rgbd_bonn_crowd2", frames=1)
    published.kitti(tmp_path / "kitti")
    assert outcome("bonn", tmp_path / "bonn", depth_m=2.0)[0]["abs_rel"] == pytest.approx(
        0, abs=1e-6
    )
    found, pipeline, _ = outcome("kitti", tmp_path / "kitti", depth_m=10.0)
    assert found["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["ate_m"] is None
    assert pipeline.frames == 3


def test_a_dataset_needs_its_folder():
    with pytest.raises(InputError, match="folder of the dataset"):
        outcome("kitti", None)


def test_frames_are_chosen_by_first_step_and_number():
    assert list(FrameChoice(2, 3, 2).of(20)) == [2, 5]
    assert list(FrameChoice().of(3)) == [0, 1, 2]
    assert len(FrameChoice(first=9).of(3)) == 0


@pytest.mark.parametrize(
    ("size", "want"),
    [((1024, 436), (512, 208)), ((640, 480), (512, 384)), ((300, 900), (160, 512))],
)
def test_whole_images_are_brought_to_the_size_of_the_crop(size, want):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert resized_to_patches(image, 512).shape == (want[1], want[0], 3)


def test_the_command_offers_every_benchmark():
    assert set(command._DATASETS) == set(BENCHMARKS)
    for name, benchmark in BENCHMARKS.items():
        if name != "synthetic":
            assert command._DATASETS[name] == benchmark.title
