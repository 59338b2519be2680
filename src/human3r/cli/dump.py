"""``human3r dump``: what the network says about given frames, every number, in one npz file.

Made for comparing implementations: names and layout are those of the golden files, at full
resolution, and the overlap views of resets are included.
"""

import argparse
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from human3r.cli.weights import add_force
from human3r.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from human3r.body.base import BodyMesh, BodyModel
    from human3r.streaming.session import StreamSession, View

_FRAMES = "frames_uint8"
_MAX_FRAMES_BYTES = 4 << 30
_EXPECTED = f"expected an npz file with {_FRAMES}, uint8 (frames, height, width, 3)"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "dump",
        help="write every array of the network for given frames, for comparisons",
        description="Feed frames to the network and write its raw answers for every view, "
        "overlap views included, under the names of the golden files.",
    )
    parser.add_argument("frames", metavar="FRAMES.npz", help=f"npz file with {_FRAMES} [T,H,W,3]")
    parser.add_argument("--weights", required=True, metavar="FILE", help="weights, safetensors")
    parser.add_argument(
        "--body-model", required=True, metavar="FILE", help="body model in the SMPL-X layout, npz"
    )
    parser.add_argument("--out", required=True, metavar="OUT.npz", help="file to write")
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="long side of the network image; 0: the size the weights were made for",
    )
    parser.add_argument(
        "--reset-interval",
        type=int,
        default=0,
        metavar="FRAMES",
        help="reset the state every so many frames; 0: never",
    )
    parser.add_argument(
        "--ttt3r",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="gate the state update per token",
    )
    parser.add_argument(
        "--rope-dtype",
        choices=("float32", "float16"),
        default="float32",
        help="precision in which the image encoder rotates queries and keys",
    )
    parser.add_argument(
        "--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    add_force(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand.

    Raises:
        InputError: no usable frames.
        WeightsError, BodyModelError, DeviceError, ConfigError, OutputError: as the parts say.
    """
    import numpy as np

    from human3r.atomic import check_output_path, whole_file
    from human3r.body import load_body_model
    from human3r.config import Settings
    from human3r.model.checkpoint import load_network
    from human3r.pipeline import choose_device
    from human3r.streaming.session import StreamSession

    settings = Settings().replace(
        {
            "model.input_size": args.size,
            "model.ttt3r": args.ttt3r,
            "model.rope_dtype": args.rope_dtype,
            # The golden files never forget anybody.
            "people.forget_s": 0.0,
        }
    )
    out = check_output_path(
        args.out, args.frames, args.weights, args.body_model, may_replace=args.force
    )
    frames = read_frames(Path(args.frames))
    if args.reset_interval < 0:
        raise InputError(
            f"--reset-interval is {args.reset_interval}; expected 0 (never) or a number of frames."
        )
    if args.reset_interval <= len(frames):
        settings = settings.replace({"session.reset_interval": args.reset_interval})
    device = choose_device(args.device)
    network = load_network(args.weights, device=device, rope_dtype=args.rope_dtype)
    body_model = load_body_model(args.body_model, str(device))
    session = StreamSession(network, body_model, settings)

    # Opened first, so that a place that cannot be written is reported before the work is done.
    with whole_file(out) as file:
        arrays = dump(session, body_model, frames)
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    views, people = len(arrays["view_frame"]), int(arrays["n_humans"].sum())
    print(f"{args.out}: {views} views of {len(frames)} frames, {people} people")
    return 0


def read_frames(path: Path) -> "np.ndarray":
    """``frames_uint8`` of an npz file, (frames, height, width, 3).

    The header is believed only after it was checked: nothing is unpickled, and no memory is taken
    for more than the file holds.

    Raises:
        InputError: unreadable, damaged, or another array.
    """
    import numpy as np

    if not path.is_file():
        raise InputError(f"{path}: no such file; {_EXPECTED}. Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{_FRAMES}.npy")
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                if version == (1, 0):
                    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                else:
                    shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            _check_frames(path, shape, dtype, member.file_size)
            with archive.open(member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    except KeyError as error:
        raise InputError(f"{path}: has no array {_FRAMES}; {_EXPECTED}.") from error
    except InputError:
        raise
    except (
        *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise InputError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); {_EXPECTED}. "
            "Write it again with numpy.savez."
        ) from error


def _check_frames(path: Path, shape: tuple[int, ...], dtype: "np.dtype", num_bytes: int) -> None:
    seen = f"{dtype} {shape}"
    if dtype != "uint8" or len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
        raise InputError(f"{path}: {_FRAMES} is {seen}; expected uint8 (frames, height, width, 3).")
    frames, height, width, _ = shape
    claimed = frames * height * width * 3
    if claimed > min(num_bytes, _MAX_FRAMES_BYTES):
        raise InputError(
            f"{path}: {_FRAMES} claims {seen}; expected at most the {num_bytes} bytes that the "
            f"file holds, and {_MAX_FRAMES_BYTES} at all. Dump fewer frames at a time."
        )


def dump(
    session: "StreamSession", body_model: "BodyModel", frames: "np.ndarray"
) -> "dict[str, np.ndarray]":
    """The arrays of all views of some frames.

    Args:
        session: at its start, with that body model.
        body_model: of the session.
        frames: uint8 (frames, height, width, 3).

    Returns:
        Arrays by name. People's arrays hold the people of all views, one view after the other;
        ``ttt_gate`` is there only when the session has the gate.
    """
    import numpy as np

    from human3r.types import Frame

    rows: dict[str, list[np.ndarray]] = {}
    people: dict[str, list[np.ndarray]] = {}
    for number, image in enumerate(frames):
        for view in session.push_views(Frame(image, stamp_ns=number + 1), outputs=("world",)):
            for name, value in _view_arrays(view, number).items():
                rows.setdefault(name, []).append(value)
            for name, value in _people_arrays(view).items():
                people.setdefault(name, []).append(value)
            for name, value in _mesh_arrays(session.bodies(view), body_model).items():
                people.setdefault(name, []).append(value)
    arrays = {name: np.stack(values) for name, values in rows.items()}
    return arrays | {name: np.concatenate(values) for name, values in people.items()}


def _view_arrays(view: "View", frame_number: int) -> "dict[str, np.ndarray]":
    import numpy as np

    from human3r.streaming.preprocess import to_numpy

    output = view.output
    assert output.points_world is not None, "the world head was asked for"
    assert output.confidence_world is not None, "the world head was asked for"
    arrays = {
        "view_frame": np.int64(frame_number),
        "view_reset": np.bool_(view.is_reset),
        "pts3d_in_self_view": to_numpy(output.points_camera),
        "conf_self": to_numpy(output.confidence),
        "pts3d_in_other_view": to_numpy(output.points_world),
        "conf": to_numpy(output.confidence_world),
        "camera_pose": to_numpy(output.camera_pose),
        "camera_c2w_chunk": view.segment_from_camera.astype(np.float32),
        "n_humans": np.int64(len(view.track_ids)),
        "msk": to_numpy(output.person_probability),  # pyright: ignore[reportArgumentType]
        "state_new": to_numpy(output.state[0]),
        "mem_new": to_numpy(output.memory[0]),
    }
    if output.gate is not None:
        arrays["ttt_gate"] = to_numpy(output.gate[0])
    return arrays


def _people_arrays(view: "View") -> "dict[str, np.ndarray]":
    from human3r.streaming.preprocess import to_numpy

    people, found = view.output.people, view.output.detections
    return {
        "det_hw": to_numpy(found.tokens),
        "smpl_rotmat": to_numpy(people.rotations),
        "smpl_shape": to_numpy(people.betas),
        "smpl_transl": to_numpy(people.head_camera),
        "smpl_expression": to_numpy(people.expression),
        "smpl_id": view.track_ids,
        "smpl_loc": to_numpy(found.head_square_px),
    }


def _mesh_arrays(mesh: "BodyMesh | None", body_model: "BodyModel") -> "dict[str, np.ndarray]":
    import numpy as np

    from human3r.streaming.preprocess import to_numpy

    if mesh is None:
        sizes = {"joints": len(body_model.joint_names), "vertices": body_model.num_vertices}
        return {name: np.zeros((0, size, 3), np.float32) for name, size in sizes.items()}
    return {"joints": to_numpy(mesh.joints), "vertices": to_numpy(mesh.vertices)}
