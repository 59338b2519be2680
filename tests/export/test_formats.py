"""Every format, read back by somebody else's reader: the joints are those of the run."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from human3r.body import skeleton
from human3r.cli.main import main
from human3r.export import export
from tests.export import readers, results

TOLERANCE_M = 1e-4
STEP_S = 1 / results.RATE_HZ
SIGHTS = {3: range(6), 7: (0, 1, 4, 5)}
AXES = results.tilted(results.UP_TILT)
WORLDS = ("camera", "level", "yup")

runs = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a smaller seed explains nothing
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
seeds, scales = st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, 1.7])


def check_joints(found: dict, run: Path, world: str, num_joints: int = 55) -> None:
    """Joints by track id and frame are those of the run, and nobody is missing."""
    expected = results.joints_in(run, AXES[world])
    assert set(found) == set(expected)
    for key, joints in found.items():
        np.testing.assert_allclose(joints, expected[key][:num_joints], atol=TOLERANCE_M, rtol=0)


@runs
@given(seeds, scales)
def test_glb_holds_skinned_people_where_they_were(make, body_model, seed, scale):
    run, out = make(seed, scale)
    path = export(run, "glb", out / "a.glb").path
    glb = readers.Glb(path)
    assert "y up" in glb.gltf.asset.extras["axes"]
    found = {}
    for track_id in SIGHTS:
        node, top = glb.node(f"person_{track_id}_skin"), glb.node(f"person_{track_id}")
        for frame in range(6):
            time_s = frame * STEP_S
            is_seen = frame in SIGHTS[track_id]
            assert glb.scale(top, time_s) == is_seen
            if is_seen:
                found[track_id, frame], _ = glb.skinned(node, time_s)
    check_joints(found, run, "yup")
    check_camera(glb, run)
    cloud = trimesh.load(path).geometry["cloud"]
    expected = trimesh.load(run / "scene.ply").vertices @ AXES["yup"][:3, :3].T
    np.testing.assert_allclose(cloud.vertices, expected, atol=TOLERANCE_M)


def check_camera(glb: readers.Glb, run: Path) -> None:
    with np.load(run / "people.npz") as people:
        poses = AXES["yup"] @ people["frame_world_from_camera"]
    for frame, pose in enumerate(poses):
        matrix = glb.world(glb.node("camera"), frame * STEP_S)
        np.testing.assert_allclose(matrix[:3, 3], pose[:3, 3], atol=1e-6)
        # A glTF camera looks along -z with y up, ours along z with y down.
        np.testing.assert_allclose(-matrix[:3, 2], pose[:3, 2], atol=1e-6)
        np.testing.assert_allclose(-matrix[:3, 1], pose[:3, 1], atol=1e-6)


def test_the_skin_of_a_rig_is_that_of_the_body_model(body_file, tmp_path):
    """Of a body with four influences and no correctives, glTF's own formula gives the skin."""
    with np.load(body_file) as file:
        arrays = dict(file)
    weakest = np.argsort(-arrays["weights"], axis=1)[:, 4:]
    np.put_along_axis(arrays["weights"], weakest, 0, axis=1)
    arrays["weights"] /= arrays["weights"].sum(axis=1, keepdims=True)
    del arrays["posedirs"]
    body, run = tmp_path / "four.npz", tmp_path / "run"
    np.savez(body, **arrays)
    results.write_result(run, body, 5, scale=1.3)
    glb = readers.Glb(export(run, "glb", tmp_path / "b.glb").path)
    export(run, "ply", tmp_path / "meshes", world="yup")
    for frame in (0, 5):
        _, vertices = glb.skinned(glb.node("person_3_skin"), frame * STEP_S)
        mesh = trimesh.load(tmp_path / "meshes" / "person_3" / f"{frame:06d}.ply", process=False)
        np.testing.assert_allclose(vertices, mesh.vertices, atol=TOLERANCE_M)


@runs
@given(seeds, scales, st.sampled_from(WORLDS))
def test_bvh_holds_everybodys_joints(make, seed, scale, world):
    run, out = make(seed, scale)
    export(run, "bvh", out, world=world)
    about = json.loads((out / "export.json").read_text())
    found = {}
    for track_id in SIGHTS:
        name = f"person_{track_id}_metres_{world}.bvh"
        places, step_s = readers.bvh_joints(out / name)
        assert tuple(sorted(places)) == tuple(sorted(skeleton.JOINT_NAMES))
        assert step_s == pytest.approx(STEP_S)
        filled = about["files"][name]["interpolated_rows"]
        assert filled == [frame for frame in range(6) if frame not in SIGHTS[track_id]]
        joints = np.stack([places[name] for name in skeleton.JOINT_NAMES], axis=1)
        found |= {(track_id, f): joints[f] for f in SIGHTS[track_id]}
    check_joints(found, run, world)


@runs
@given(seeds, scales, st.sampled_from(WORLDS))
def test_amass_parameters_give_the_joints_again(make, body_model, seed, scale, world):
    run, out = make(seed, scale)
    export(run, "amass", out, world=world)
    found = {}
    for track_id in SIGHTS:
        with np.load(out / f"person_{track_id}.npz", allow_pickle=False) as file:
            person = dict(file)
        assert float(person["mocap_frame_rate"]) == results.RATE_HZ
        poses = Rotation.from_rotvec(person["poses"].reshape(-1, 3)).as_matrix()
        poses = poses.reshape(-1, 55, 3, 3)[:, skeleton.JOINT_OF_ROTATION]
        count = len(poses)
        betas = np.tile(person["betas"], (count, 1))
        values = (poses, betas, np.zeros((count, 10)), np.zeros((count, 3)))
        arguments = [torch.from_numpy(value.astype(np.float32)) for value in values]
        posed = body_model(*arguments).joints[:, :55].numpy()
        # As SMPL-X does it: the root turns the body about the pelvis of its rest pose.
        rest = body_model.rest_joints(arguments[1])[:, :1].numpy()
        about_rest = posed - posed[:, :1] + rest
        joints = float(person["scale"]) * about_rest + person["trans"][:, None]
        found |= {(track_id, f): joints[f] for f in SIGHTS[track_id]}
    check_joints(found, run, world)


@pytest.mark.parametrize("kind", ["obj", "ply"])
def test_meshes_are_the_body_models_in_every_frame(make, body_model, kind):
    run, out = make(11, 0.5)
    export(run, kind, out, world="level")
    with np.load(run / "people.npz") as file:
        people = dict(file)
    for row, (track_id, frame) in enumerate(zip(people["track_id"], people["frame"], strict=True)):
        path = out / f"person_{track_id}" / f"{frame:06d}.{kind}"
        assert b"z up" in path.read_bytes()[:400]
        mesh = trimesh.load(path, process=False, maintain_order=True)
        head = people["head_camera"][row]
        values = [people[name][row] for name in ("rotations", "betas", "expression")]
        arguments = [torch.from_numpy(value)[None] for value in (*values, 0 * head)]
        vertices = body_model(*arguments).vertices[0].numpy() * 0.5 + head
        matrix = AXES["level"] @ people["world_from_camera"][row]
        expected = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(mesh.vertices, expected, atol=TOLERANCE_M)
        np.testing.assert_array_equal(mesh.faces, body_model.faces)
    assert len(list(out.rglob(f"0*.{kind}"))) == len(people["frame"])


@runs
@given(seeds, st.sampled_from(WORLDS))
def test_csv_holds_all_joints_and_landmarks(make, body_model, seed, world):
    run, out = make(seed)
    comment, found, names = readers.csv_joints(export(run, "csv", out / "a.csv", world=world).path)
    assert {"camera": "y down", "level": "z up", "yup": "y up"}[world] in comment
    assert tuple(names) == body_model.joint_names
    check_joints(found, run, world, len(names))


@runs
@given(seeds, st.sampled_from(WORLDS))
def test_trc_markers_are_the_joints(make, seed, world):
    run, out = make(seed)
    export(run, "trc", out, world=world)
    found = {}
    for track_id in SIGHTS:
        names, times, places, unit = readers.trc_joints(out / f"person_{track_id}_{world}.trc")
        assert unit == "m"
        assert names[:55] == list(skeleton.JOINT_NAMES)
        np.testing.assert_allclose(times, np.arange(6) * STEP_S, atol=1e-6)
        found |= {(track_id, f): places[f, :55] for f in SIGHTS[track_id]}
    check_joints(found, run, world)


@runs
@given(seeds, st.sampled_from(WORLDS))
def test_mot_angles_are_the_joints_rotations(make, seed, world):
    run, out = make(seed)
    export(run, "mot", out, world=world)
    with np.load(run / "people.npz") as file:
        people = dict(file)
    for row, (track_id, frame) in enumerate(zip(people["track_id"], people["frame"], strict=True)):
        head, columns = readers.mot_table(out / f"person_{track_id}.mot")
        assert "inDegrees=yes" in head
        expected = people["rotations"][row].astype(np.float64)
        matrix = AXES[world] @ people["world_from_camera"][row]
        expected[0] = matrix[:3, :3] @ expected[0]
        for number, joint in enumerate(skeleton.JOINT_OF_ROTATION):
            name = skeleton.JOINT_NAMES[joint]
            angles = [columns[f"{name}_r{axis}"][frame] for axis in "xyz"]
            turn = Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()
            np.testing.assert_allclose(turn, expected[number], atol=1e-5)
        pelvis = np.array([columns[f"pelvis_t{axis}"][frame] for axis in "xyz"])
        joints = results.joints_in(run, AXES[world])[int(track_id), int(frame)]
        np.testing.assert_allclose(pelvis, joints[0], atol=TOLERANCE_M)


def test_coco_keypoints_are_the_joints_in_pixels(make, body_model):
    run, out = make(3)
    document = json.loads(export(run, "coco", out / "a.json").path.read_text())
    assert len(document["images"]) == 6
    (category,) = document["categories"]
    assert category["keypoints"][:3] == ["nose", "left_eye", "right_eye"]
    assert category["keypoints"][5::6] == ["left_shoulder", "left_hip"]
    lengths = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68}
    lengths |= {"lefthand_kpts": 21, "righthand_kpts": 21}
    assert sum(lengths.values()) == 133
    camera = results.joints_in(run, np.eye(4))
    with np.load(run / "people.npz") as people:
        poses = people["frame_world_from_camera"]
    names, seen = list(body_model.joint_names), 0
    for one in document["annotations"]:
        for key, length in lengths.items():
            assert len(one[key]) == 3 * length
        joints = camera[one["track_id"], one["image_id"]]
        pose = poses[one["image_id"]]
        x, y, z = ((joints - pose[:3, 3]) @ pose[:3, :3]).T
        u, v = 300 * x / z + 158, 310 * y / z + 121
        for name, point in zip(
            category["keypoints"], np.reshape(one["keypoints"], (17, 3)), strict=True
        ):
            if name in names:
                at = names.index(name)
                inside = -0.5 <= u[at] < 319.5 and -0.5 <= v[at] < 239.5
                assert point[2] == (2 if inside else 0)
                if inside:
                    np.testing.assert_allclose(point[:2], [u[at], v[at]], atol=1e-3)
                    seen += 1
        wrist = one["righthand_kpts"][:3]
        assert wrist == one["keypoints"][3 * 10 : 3 * 11]
    assert seen > 50


def test_usd_passes_its_own_checker_and_moves_the_joints(make):
    pytest.importorskip(
        "pxr.UsdValidation", reason="OpenUSD is not installed: pip install 'human3r[usd]'"
    )
    from pxr import Usd, UsdGeom, UsdSkel, UsdValidation

    run, out = make(8, 1.7)
    path = export(run, "usd", out / "a.usdc").path
    stage = Usd.Stage.Open(str(path))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    assert len(validators) > 20
    problems = UsdValidation.ValidationContext(validators).Validate(stage)
    assert not [problem.GetMessage() for problem in problems]
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert "z up" in stage.GetRootLayer().customLayerData["axes"]
    found, cache = {}, UsdSkel.Cache()
    for track_id, frames in SIGHTS.items():
        root = stage.GetPrimAtPath(f"/run/person_{track_id}")
        cache.Populate(UsdSkel.Root(root), Usd.PrimDefaultPredicate)
        query = cache.GetSkelQuery(
            UsdSkel.Skeleton(stage.GetPrimAtPath(f"{root.GetPath()}/skeleton"))
        )
        for frame in range(6):
            shown = UsdGeom.Imageable(root).ComputeVisibility(frame) == "inherited"
            assert shown == (frame in frames)
            if shown:
                matrices = np.array(query.ComputeJointSkelTransforms(frame))
                found[track_id, frame] = matrices[:, 3, :3]
    check_joints(found, run, "level")


def test_rerun_holds_everybodys_joints_and_skin(make):
    chunks = pytest.importorskip(
        "rerun.chunk", reason="Rerun is not installed: pip install 'human3r[rerun]'"
    )
    run, out = make(8, 1.7)
    path = export(run, "rrd", out / "a.rrd").path
    found, entities = {}, set()
    for chunk in chunks.RrdReader(str(path)).stream().to_chunks():
        entity = str(chunk.entity_path).strip("/")
        entities.add(entity)
        table = chunk.to_record_batch()
        if entity.endswith("/joints") and "Points3D:positions" in table.schema.names:
            track_id = int(entity.split("/")[1].removeprefix("person_"))
            frames = np.asarray(table["frame"]).astype(int)
            for frame, joints in zip(frames, table["Points3D:positions"].to_pylist(), strict=True):
                if joints:
                    found[track_id, int(frame)] = np.array(joints)
    check_joints(found, run, "level")
    assert {"cloud", "camera", "camera/image", "people", "people/person_3/skin"} <= entities


def test_uneven_stamps_are_brought_to_the_usual_rate(make):
    from dataclasses import replace

    from human3r.export.clip import make_clip, steady
    from human3r.export.result import read_result
    from human3r.export.worlds import choose_world

    result = read_result(make(2)[0])
    late = result.stamps_ns.copy()
    late[4:] += 300_000_000  # the camera paused for three frames
    result = replace(result, stamps_ns=late)
    clip = make_clip(result, choose_world(result, "yup"))
    motion = steady(clip, clip.people[0])
    assert motion.is_seen.tolist() == [True] * 4 + [False] * 3 + [True] * 2
    np.testing.assert_allclose(motion.root[[3, 7]], clip.people[0].root[[3, 4]])
    middle = motion.root[3] + (motion.root[7] - motion.root[3]) / 2
    np.testing.assert_allclose(motion.root[5], middle)


def test_up_is_the_floor_under_peoples_feet_where_no_setting_names_a_tilt(make):
    from human3r.export.result import read_result
    from human3r.export.worlds import choose_world
    from human3r.io.results import write_ply

    run, _ = make(1)
    (run / "settings.yaml").unlink()
    with np.load(run / "people.npz") as file:
        people = dict(file)
    standing = np.array([[0, -1.6, 3.0]] * people["joints_camera"].shape[1], np.float32)
    ankles = [7, 8, 10, 11]
    tilt = Rotation.from_rotvec([0.2, 0, 0]).as_matrix()
    names = list(people["joint_names"])
    low = ankles + [i for i, name in enumerate(names) if "toe" in name or "heel" in name]
    standing[low, 1] = 0
    rng = np.random.default_rng(0)
    spots = rng.uniform(-1, 1, (len(people["frame"]), 1, 3)) * [1, 0, 1]
    people["joints_camera"] = ((standing + spots) @ tilt.T).astype(np.float32)
    people["world_from_camera"] = np.tile(np.eye(4), (len(spots), 1, 1))
    people["frame_world_from_camera"] = np.tile(np.eye(4), (6, 1, 1))
    np.savez(run / "people.npz", **people)
    floor = rng.uniform(-3, 3, (20_000, 3)) * [1, 0, 1] + [0, 0, 3]
    write_ply(
        run / "scene.ply", (floor @ tilt.T).astype(np.float32), np.zeros((20_000, 3), np.uint8)
    )
    world = choose_world(read_result(run), "level")
    assert world.up_source == "floor"
    np.testing.assert_allclose(world.from_world[2, :3], tilt @ [0, -1, 0], atol=1e-3)
    assert choose_world(read_result(run), "level", up="camera").up_source == "camera"


def test_who_was_seen_too_rarely_is_left_out_and_said(make, capsys):
    run, out = make(4)
    command = ["export", str(run), "--format", "csv", "-o", str(out / "a.csv")]
    assert main([*command, "--min-share", "0.9"]) == 0
    assert "1 person (ids 3), 1 seen too rarely left out of 6 frames" in capsys.readouterr().out
    assert main([*command, "--people", "7", "--min-share", "0.9"]) == 0
    assert {key[0] for key in readers.csv_joints(out / "a.csv")[1]} == {7}


def test_a_run_without_people_exports_what_there_is(body_file, make, tmp_path):
    run, _ = make(0)
    with np.load(run / "people.npz") as file:
        people = dict(file)
    rows = len(people["frame"])
    people = {n: a[:0] if a.shape[:1] == (rows,) else a for n, a in people.items()}
    people["joints_camera"] = np.zeros((0, 0, 3), np.float32)
    np.savez(run / "people.npz", **people)
    glb = readers.Glb(export(run, "glb", tmp_path / "a.glb").path)
    assert {node.name for node in glb.gltf.nodes} == {"cloud", "camera", "camera_path"}
    assert export(run, "csv", tmp_path / "a.csv").path.read_text().count("\n") == 2
    assert [p.name for p in export(run, "bvh", tmp_path / "b").path.iterdir()] == ["export.json"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda people: people.pop("format"), "says no format; expected human3r-people-1"),
        (lambda people: people.pop("betas"), "has no betas"),
        (lambda people: people.update(betas=people["betas"][:2]), "betas is float32"),
        (lambda people: people.update(frame=people["frame"] + 99), "beyond 6"),
        (lambda people: people.update(frame_stamp_ns=people["frame_stamp_ns"] * 0), "stamps"),
        (lambda people: people.update(betas=np.array([{}] * 10)), "Python objects"),
        (lambda people: people.update(rotations=people["rotations"] * np.nan), "rotations holds"),
        (lambda people: people.update(up_world=np.array("x")), "up_world is <U1"),
        (lambda people: people.update(joint_parents=people["joint_parents"] + 60), "joint_parents"),
    ],
)
def test_a_damaged_result_is_refused(make, damage, words, tmp_path, capsys):
    run, out = make(6)
    with np.load(run / "people.npz") as file:
        people = dict(file)
    damage(people)
    np.savez(run / "people.npz", **people)
    assert main(["export", str(run), "--format", "csv", "-o", str(out / "a.csv")]) == 1
    message = capsys.readouterr().err
    assert words in message
    assert "people.npz" in message
    assert not out.exists()


def test_another_body_model_is_refused(make, capsys):
    run, out = make(6)
    (run / "settings.yaml").unlink()
    assert main(["export", str(run), "--format", "glb", "-o", str(out / "a.glb")]) == 1
    assert "another file than the body model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "package"), [("glb", "pygltflib"), ("usd", "pxr"), ("html", "viser")]
)
def test_a_missing_package_is_named_with_its_extra(make, kind, package, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith(("human3r.export.", "human3r.viewer.web"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", str(make(6)[0]), "--format", kind]) == 1
    message = capsys.readouterr().err
    assert package in message
    assert "pip install 'human3r[" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "glb", "--world", "level"], "glb files are yup"),
        (["--format", "csv", "--people", "3,x"], "expected identities like 0,3"),
        (["--format", "csv", "--people", "12"], "nobody has the id 12; expected of 3, 7"),
        (["--format", "csv", "--min-share", "2"], "expected a number from 0 to 1"),
    ],
)
def test_impossible_options_are_refused(make, options, words, capsys):
    assert main(["export", str(make(6)[0]), *options]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "coco"])
def test_a_file_goes_into_a_folder_that_is_there(make, kind, tmp_path):
    run, _ = make(6)
    place = tmp_path / "a place"
    place.mkdir()
    path = export(run, kind, place).path
    assert path.parent == place
    assert path.stem == "run"


@pytest.mark.parametrize("kind", ["csv", "glb", "html", "bvh"])
def test_a_place_that_cannot_be_made_is_an_error_in_words(make, kind, tmp_path, capsys):
    pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "deeper" / "a"
    body = make(6)[0].parent / "run"
    assert main(["export", str(body), "--format", kind, "-o", str(out)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_html_and_rrd_have_options_of_their_own(make, tmp_path, capsys):
    pytest.importorskip("viser", reason="viser is not installed: pip install 'human3r[web]'")
    run, page = make(6)[0], tmp_path / "my page.html"
    assert main(["export", str(run), "--html", str(page)]) == 0
    assert page.read_text().startswith("<!")
    assert main(["export", str(run), "--html", str(page), "-o", "other"]) == 1
    assert "expected one of them" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", str(run), "--html", "a", "--format", "csv"])
    assert main(["export", str(run)]) == 1
    assert "expected --format FORMAT, --html FILE or --rrd FILE" in capsys.readouterr().err
