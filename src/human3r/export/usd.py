"""OpenUSD: people as UsdSkel skeletons with skinned meshes, the cloud, the camera and its path.

Source of the layout: OpenUSD documentation, "UsdSkel schemas" and "UsdGeom".
"""

# pyright: reportAttributeAccessIssue=false
# pxr is compiled and has no stubs.

from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdSkel, Vt

from human3r.atomic import output_errors, part_path
from human3r.export.clip import Clip, Person
from human3r.export.formats import manifest
from human3r.export.glb import GL_FROM_CV, smooth_quaternions
from human3r.export.skin import MAX_INFLUENCES, Skin
from human3r.viewer.colors import person_color

_APERTURE_MM = 36.0
"""Width of the film that the lens is stated for; only its ratio to the focal length matters."""


def write(clip: Clip, skin: Skin, path: Path) -> None:
    """Write a clip whose axes are y up or z up. Time codes are frames; the rate is the clip's.

    Raises:
        OutputError: not writable.
    """
    # A layer is told its kind by its suffix.
    part = part_path(path).with_suffix(".usdc")
    with output_errors(path):
        try:
            part.touch()
            stage = Usd.Stage.CreateNew(str(part))
            _fill(stage, clip, skin)
            stage.GetRootLayer().Save()
            del stage
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _fill(stage: Usd.Stage, clip: Clip, skin: Skin) -> None:
    up = UsdGeom.Tokens.z if clip.world.name == "level" else UsdGeom.Tokens.y
    UsdGeom.SetStageUpAxis(stage, up)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(float(_codes(clip)[-1]))
    stage.SetTimeCodesPerSecond(clip.rate_hz)
    stage.SetFramesPerSecond(clip.rate_hz)
    about = manifest(clip)
    stage.GetRootLayer().customLayerData = {
        key: about[key] for key in ("made_by", "source", "axes", "up_from", "body_model")
    }
    top = UsdGeom.Xform.Define(stage, "/run")
    stage.SetDefaultPrim(top.GetPrim())
    for person in clip.people:
        _add_person(stage, clip, skin, person)
    _add_cloud(stage, clip)
    _add_camera(stage, clip)


def _codes(clip: Clip) -> np.ndarray:
    """Time codes of the frames: whole numbers where frames are evenly spaced."""
    codes = clip.times_s * clip.rate_hz
    whole = np.round(codes)
    return whole if np.abs(codes - whole).max() < 1e-3 else codes


def _add_person(stage: Usd.Stage, clip: Clip, skin: Skin, person: Person) -> None:
    path = f"/run/{person.name}"
    root = UsdSkel.Root.Define(stage, path)
    paths = _joint_paths(clip)
    skeleton = UsdSkel.Skeleton.Define(stage, f"{path}/skeleton")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateBindTransformsAttr(_placed(person.rest_joints))
    bones = np.array(person.rest_joints)
    bones[1:] -= person.rest_joints[list(clip.joint_parents[1:])]
    skeleton.CreateRestTransformsAttr(_placed(bones))
    motion = _add_motion(stage, clip, person, f"{path}/motion", paths, bones)
    binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([motion])
    _add_mesh(stage, skin, person, path)
    _show_where_seen(clip, person, root)
    _set_extent(clip, person, root)


def _joint_paths(clip: Clip) -> list[str]:
    paths: list[str] = []
    for name, parent in zip(clip.joint_names, clip.joint_parents, strict=False):
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths


def _placed(places: np.ndarray) -> Vt.Matrix4dArray:
    return Vt.Matrix4dArray(
        [Gf.Matrix4d().SetTranslate(Gf.Vec3d(*place)) for place in places.tolist()]
    )


def _add_motion(
    stage: Usd.Stage,
    clip: Clip,
    person: Person,
    path: str,
    joint_paths: list[str],
    bones: np.ndarray,
) -> Sdf.Path:
    motion = UsdSkel.Animation.Define(stage, path)
    motion.CreateJointsAttr(joint_paths)
    motion.CreateScalesAttr(Vt.Vec3hArray(len(bones), Gf.Vec3h(1, 1, 1)))
    places, turns = motion.CreateTranslationsAttr(), motion.CreateRotationsAttr()
    quaternions = np.stack(
        [smooth_quaternions(person.rotations[:, joint]) for joint in range(len(bones))], axis=1
    )
    moving = np.array(bones, np.float32)
    for row, code in enumerate(_codes(clip)[person.frames].tolist()):
        moving[0] = person.root[row]
        places.Set(Vt.Vec3fArray.FromNumpy(moving), code)
        turns.Set(
            Vt.QuatfArray([Gf.Quatf(w, x, y, z) for x, y, z, w in quaternions[row].tolist()]), code
        )
    return motion.GetPath()


def _add_mesh(stage: Usd.Stage, skin: Skin, person: Person, path: str) -> None:
    mesh = UsdGeom.Mesh.Define(stage, f"{path}/skin")
    vertices = skin.rest_vertices(person).astype(np.float32)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(vertices))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(skin.faces), 3))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(skin.faces.reshape(-1).astype(np.int32)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(_extent(vertices))
    color = [float((value / 255) ** 2.2) for value in person_color(person.track_id)]
    mesh.CreateDisplayColorAttr([Gf.Vec3f(*color)])
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([f"{path}/skeleton"])
    joints = Vt.IntArray.FromNumpy(skin.joints.reshape(-1).astype(np.int32))
    binding.CreateJointIndicesPrimvar(False, MAX_INFLUENCES).Set(joints)
    weights = Vt.FloatArray.FromNumpy(skin.weights.reshape(-1))
    binding.CreateJointWeightsPrimvar(False, MAX_INFLUENCES).Set(weights)
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))


def _extent(points: np.ndarray) -> Vt.Vec3fArray:
    return Vt.Vec3fArray.FromNumpy(np.stack([points.min(0), points.max(0)]).astype(np.float32))


def _set_extent(clip: Clip, person: Person, root: UsdSkel.Root) -> None:
    """Boxes around a person with some room for the skin; tools frame the view by them."""
    room_m = 0.25
    attribute = root.CreateExtentAttr()
    for code, joints in zip(_codes(clip)[person.frames].tolist(), person.posed(), strict=True):
        box = np.stack([joints.min(0) - room_m, joints.max(0) + room_m])
        attribute.Set(Vt.Vec3fArray.FromNumpy(box.astype(np.float32)), code)


def _show_where_seen(clip: Clip, person: Person, root: UsdSkel.Root) -> None:
    is_seen = np.isin(np.arange(len(clip.stamps_ns)), person.frames)
    if is_seen.all():
        return
    shown = root.CreateVisibilityAttr()
    for code, seen in zip(_codes(clip).tolist(), is_seen.tolist(), strict=True):
        shown.Set(UsdGeom.Tokens.inherited if seen else UsdGeom.Tokens.invisible, code)


def _add_cloud(stage: Usd.Stage, clip: Clip) -> None:
    if len(clip.points) == 0:
        return
    cloud = UsdGeom.Points.Define(stage, "/run/cloud")
    points = clip.points.astype(np.float32)
    cloud.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
    cloud.CreateWidthsAttr(Vt.FloatArray(1, 0.02))
    cloud.SetWidthsInterpolation(UsdGeom.Tokens.constant)
    cloud.CreateExtentAttr(_extent(points))
    linear = ((clip.colors / 255) ** 2.2).astype(np.float32)
    colors = cloud.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
    colors.Set(Vt.Vec3fArray.FromNumpy(linear))


def _add_camera(stage: Usd.Stage, clip: Clip) -> None:
    camera = UsdGeom.Camera.Define(stage, "/run/camera")
    (width, height), intrinsics = clip.size_px[0].tolist(), clip.intrinsics[0]
    if np.isfinite(intrinsics).all() and intrinsics[0, 0] > 0:
        camera.CreateHorizontalApertureAttr(_APERTURE_MM)
        camera.CreateVerticalApertureAttr(_APERTURE_MM * height / width)
        camera.CreateFocalLengthAttr(float(intrinsics[0, 0]) * _APERTURE_MM / width)
    camera.CreateClippingRangeAttr(Gf.Vec2f(0.01, 1000.0))
    move = camera.AddTransformOp()
    for code, pose in zip(_codes(clip).tolist(), clip.clip_from_camera, strict=True):
        matrix = np.array(pose)
        matrix[:3, :3] = matrix[:3, :3] @ GL_FROM_CV
        # Rows of USD's matrices are the columns of ours.
        move.Set(Gf.Matrix4d(*matrix.T.reshape(-1).tolist()), code)
    places = clip.clip_from_camera[:, :3, 3].astype(np.float32)
    if len(places) > 1:
        path = UsdGeom.BasisCurves.Define(stage, "/run/camera_path")
        path.CreateTypeAttr(UsdGeom.Tokens.linear)
        path.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(places))
        path.CreateCurveVertexCountsAttr([len(places)])
        path.CreateWidthsAttr(Vt.FloatArray(1, 0.01))
        path.SetWidthsInterpolation(UsdGeom.Tokens.constant)
        path.CreateExtentAttr(_extent(places))
