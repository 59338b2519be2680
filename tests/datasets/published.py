"""Writes a few files in the layouts of published datasets."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CAMERA = np.array([[60.0, 0, 31.5], [0, 62.0, 23.5], [0, 0, 1]])


def image(path: Path, width: int = 64, height: int = 48, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def depth_png(path: Path, units_per_m: float, value_m: float, size=(64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0]), value_m * units_per_m).astype(np.uint16)
    pixels[0] = 0
    Image.fromarray(pixels).save(path)
    return path


def pickled(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def camera_from_world(count: int) -> np.ndarray:
    """Cameras that move along the world's x, looking along its z."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = -0.1 * np.arange(count)
    poses[:, 2, 3] = 3
    return poses


def tum(folder: Path, frames: int = 5) -> Path:
    """Depth comes 10 ms after colour; the last image has no pose; poses come at 50 Hz."""
    rgb, depth = ["# color images", "# file"], ["# depth"]
    for number in range(frames):
        stamp = 1000 + 0.1 * number
        image(folder / "rgb" / f"{stamp:.6f}.png", seed=number)
        rgb.append(f"{stamp:.6f} rgb/{stamp:.6f}.png")
        depth_png(folder / "depth" / f"{stamp + 0.01:.6f}.png", 5000, 2 + number)
        depth.append(f"{stamp + 0.01:.6f} depth/{stamp + 0.01:.6f}.png")
    poses = [
        f"{1000 + 0.02 * n:.4f} {0.02 * n:.4f} 0 1 0 0 0.7071068 0.7071068"
        for n in range(5 * (frames - 1) + 1)
    ]
    (folder / "rgb.txt").write_text("\n".join(rgb))
    (folder / "depth.txt").write_text("\n".join(depth))
    (folder / "groundtruth.txt").write_text("# ground truth\n" + "\n".join(poses) + "\n")
    return folder


def seven_scenes(folder: Path, frames: int = 4, suffix: str = "png") -> Path:
    """Cameras of depth that move along the world's x; a wall at 2 m, with pixels of no depth."""
    for number in range(frames):
        name = f"frame-{number:06d}"
        image(folder / f"{name}.color.{suffix}", 640, 480, seed=number)
        path = depth_png(folder / f"{name}.depth.png", 1000, 2.0, (640, 480))
        pixels = np.array(Image.open(path))
        pixels[-200:] = 65535
        Image.fromarray(pixels).save(path)
        rows = np.eye(4)
        rows[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
        rows[:3, 3] = 0.1 * number, 0, 1
        text = "\n".join("\t ".join(f"{value: .7e}" for value in row) for row in rows)
        (folder / f"{name}.pose.txt").write_text(text + "\n")
    return folder


def sintel(root: Path, sequence: str, frames: int = 3) -> Path:
    tag = np.float32(202021.25).tobytes()
    for number in range(1, frames + 1):
        name = f"frame_{number:04d}"
        image(root / "training" / "final" / sequence / f"{name}.png", 70, 30, seed=number)
        depth = root / "training" / "depth" / sequence / f"{name}.dpt"
        depth.parent.mkdir(parents=True, exist_ok=True)
        values = np.full((30, 70), 4.0 + number, "<f4")
        depth.write_bytes(tag + np.array([70, 30], "<i4").tobytes() + values.tobytes())
        camera = root / "training" / "camdata_left" / sequence / f"{name}.cam"
        camera.parent.mkdir(parents=True, exist_ok=True)
        pose = camera_from_world(number)[-1, :3]
        camera.write_bytes(tag + CAMERA.astype("<f8").tobytes() + pose.astype("<f8").tobytes())
    return root


def kitti(root: Path, drive: str = "2011_09_26_drive_0002_sync", frames: int = 3) -> Path:
    for number in range(5, 5 + frames):
        name = f"{number:010d}.png"
        image(root / drive[:10] / drive / "image_02" / "data" / name, 1242, 375)
        truth = root / "val" / drive / "proj_depth" / "groundtruth" / "image_02" / name
        depth_png(truth, 256, 10, (1242, 375))
    return root


def threedpw(root: Path, sequence: str = "downtown_arguing_00", frames: int = 3, **changes):
    """Two people; the second's camera pose is not valid in the first frame."""
    for number in range(frames):
        image(root / "imageFiles" / sequence / f"image_{number:05d}.jpg", seed=number)
    rng = np.random.default_rng(0)
    people = 2
    content = {
        "sequence": sequence,
        "poses": [0.1 * rng.standard_normal((frames, 72)) for _ in range(people)],
        "trans": [np.tile([0.5 * p, 0, 1.0], (frames, 1)) for p in range(people)],
        "betas": [np.linspace(-1, 1, 10) for _ in range(people)],
        "genders": ["m", "f"],
        "campose_valid": [np.ones(frames), np.array([0] + [1] * (frames - 1))],
        "cam_poses": camera_from_world(frames),
        "cam_intrinsics": CAMERA,
    } | changes
    return pickled(root / "sequenceFiles" / "test" / f"{sequence}.pkl", content)


def emdb(root: Path, person: str, sequence: str, part: int, frames: int = 4, **changes) -> Path:
    """The third frame is not good."""
    folder = root / person / sequence
    for number in range(frames):
        image(folder / "images" / f"{number:05d}.jpg", seed=number)
    rng = np.random.default_rng(1)
    content = {
        "name": f"{person}_{sequence}",
        "gender": "female",
        "emdb1": part == 1,
        "emdb2": part == 2,
        "n_frames": frames,
        "good_frames_mask": np.array([True, True, False] + [True] * (frames - 3)),
        "camera": {
            "intrinsics": CAMERA,
            "extrinsics": camera_from_world(frames),
            "width": 64,
            "height": 48,
        },
        "smpl": {
            "poses_root": 0.1 * rng.standard_normal((frames, 3)),
            "poses_body": 0.1 * rng.standard_normal((frames, 69)),
            "trans": np.stack(
                [0.05 * np.arange(frames), 0 * np.arange(frames), np.ones(frames)], -1
            ),
            "betas": np.linspace(-1, 1, 10),
        },
    } | changes
    return pickled(folder / f"{person}_{sequence}_data.pkl", content)


def rich(root: Path, sequence: str = "Gym_010_pushup1", frames: int = 2) -> Path:
    scene, subject, _ = sequence.split("_")
    for number in range(1, frames + 1):
        image(root / "images" / "test" / sequence / "cam_01" / f"{number:05d}_01.jpeg")
        body = {
            "betas": np.zeros((1, 10), np.float32),
            "global_orient": np.array([[0, 0.1 * number, 0]], np.float32),
            "body_pose": np.zeros((1, 63), np.float32),
            "transl": np.array([[0, 0, 1]], np.float32),
            "left_hand_pose": np.zeros((1, 12), np.float32),
        }
        pickled(root / "bodies" / "test" / sequence / f"{number:05d}" / f"{subject}.pkl", body)
    calibration = root / "scan_calibration" / scene / "calibration" / "001.xml"
    calibration.parent.mkdir(parents=True, exist_ok=True)
    calibration.write_text(
        '<?xml version="1.0"?>\n<opencv_storage>'
        + _xml("CameraMatrix", camera_from_world(1)[0, :3])
        + _xml("Intrinsics", CAMERA)
        + "</opencv_storage>\n"
    )
    (root / "gender.json").write_text(json.dumps({subject: "female"}))
    return root


def _xml(name: str, matrix: np.ndarray) -> str:
    words = " ".join(f"{value:.9g}" for value in matrix.ravel())
    return (
        f'<{name} type_id="opencv-matrix"><rows>{len(matrix)}</rows>'
        f"<cols>{matrix.shape[1]}</cols><dt>d</dt><data>\n{words}</data></{name}>"
    )


def bedlam(root: Path, scene: str, people: int = 2, frames: int = 3, **labels) -> Path:
    """One sequence, 64x36; person p stands p metres further away than two."""
    rng = np.random.default_rng(2)
    folder, sequence = root / scene, "seq_000003"
    rows = ["name,x,y,z,yaw,pitch,roll,focal_length,sensor_width,sensor_height,hfov"]
    names = [f"{sequence}_{5 * number:04d}" for number in range(frames)]
    for number, name in enumerate(names):
        image(folder / "png" / sequence / f"{name}.png", 64, 36, seed=number)
        mask = np.full((36, 64), 255, np.uint8)
        mask[10:30, 20:30] = 0
        path = folder / "masks" / sequence / f"{name}_env.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
        exr(folder / "depth" / sequence / f"{name}_depth.exr", number)
        rows.append(f"{name}.jpg,{100 * number},200,150,90,0,0,18.0,36.0,20.25,90.0")
    cameras = folder / "ground_truth" / "camera" / f"{sequence}_camera.csv"
    cameras.parent.mkdir(parents=True, exist_ok=True)
    cameras.write_text("\n".join(rows) + "\n")
    count = people * frames
    extrinsics = np.tile(np.eye(4), (count, 1, 1))
    extrinsics[:, 2, 3] = np.tile(2.0 + np.arange(people), frames)
    content = {
        "imgname": np.repeat([f"{sequence}/{name}.png" for name in names], people),
        "sub": np.tile([f"rp_person_{p}" for p in range(people)], frames),
        "pose_cam": 0.1 * rng.standard_normal((count, 165)),
        "shape": rng.standard_normal((count, 11)),
        "trans_cam": np.zeros((count, 3)),
        "cam_ext": extrinsics,
        "gender": np.repeat("neutral", count),
    } | labels
    path = root / "bedlam_labels" / f"{scene}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return folder


def exr(path: Path, number: int) -> Path:
    """Depth in centimetres, with sky and a hole."""
    pixels = np.full((36, 64), 300.0 + 100 * number, np.float32)
    pixels[0], pixels[1] = np.inf, 1e6
    path.parent.mkdir(parents=True, exist_ok=True)
    is_written = cv2.imwrite(str(path), pixels, [cv2.IMWRITE_EXR_COMPRESSION, 3])
    assert is_written
    return path
