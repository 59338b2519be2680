"""Which formats there are, and the one function that writes any of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from human3r.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from human3r.export.clip import Clip
    from human3r.export.skin import Skin

MANIFEST = "export.json"
"""Beside the files of a folder: axes, units, rate, people."""


@dataclass(frozen=True)
class Format:
    """A format that a result can be exported to."""

    about: str
    """What it is, in a line."""
    worlds: tuple[str, ...] = ("level", "yup", "camera")
    """Axes it can be in, the usual one first."""
    is_folder: bool = False
    """A folder of files, one or more per person."""
    needs_body: bool = False
    """Needs the body model of the run, for its skin or its rest pose."""
    is_rig: bool = True
    """Gives each person one shape, which moves joints a little."""
    has_places: bool = True
    """Frames must share one world."""
    suffix: str = ""
    """Of its file, where it is not its name."""
    extra: str = ""
    """Extra of human3r that brings the packages it needs."""


_YUP_FIRST = ("yup", "level", "camera")

FORMATS = {
    "glb": Format(
        "glTF 2.0: skinned people, cloud, camera",
        worlds=("yup",),
        needs_body=True,
        extra="export",
    ),
    "usd": Format(
        "OpenUSD: the same",
        worlds=("level", "yup"),
        suffix=".usdc",
        needs_body=True,
        extra="usd",
    ),
    "html": Format(
        "a page that opens in a browser from disk",
        worlds=("level",),
        needs_body=True,
        extra="web",
    ),
    "rrd": Format("Rerun: meshes, annotated joints, cloud, camera", needs_body=True, extra="rerun"),
    "bvh": Format("one skeleton animation per person", worlds=_YUP_FIRST, is_folder=True),
    "amass": Format(
        "SMPL-X parameters as in AMASS, npz per person", is_folder=True, needs_body=True
    ),
    "obj": Format(
        "a mesh per person and frame", worlds=_YUP_FIRST, is_folder=True, needs_body=True
    ),
    "ply": Format("the same as PLY, and the scene", is_folder=True, needs_body=True),
    "csv": Format("joints, a row per person and frame", is_rig=False),
    "trc": Format(
        "OpenSim markers, one file per person", worlds=_YUP_FIRST, is_folder=True, is_rig=False
    ),
    "mot": Format("OpenSim table of joint angles, one file per person", is_folder=True),
    "coco": Format(
        "COCO keypoints 17 and 133 in pixels",
        worlds=("camera",),
        suffix=".json",
        is_rig=False,
        has_places=False,
    ),
}
"""What ``human3r export --format`` can name."""


@dataclass(frozen=True)
class Exported:
    """What was written, for a line about it."""

    path: Path
    clip: "Clip"
    deviation_m: float
    """Mean distance of the rigs' body joints from those of the frames; 0 where nothing was
    changed."""


def export(
    source: str | Path,
    format_name: str,
    out: str | Path | None = None,
    *,
    world: str = "",
    up: str = "auto",
    track_ids: Sequence[int] | None = None,
    min_share: float = 0.1,
    body_model: str | Path | None = None,
    topic: str | None = None,
    session: int | None = None,
) -> Exported:
    """Write the result of a run in another format.

    Args:
        source: what ``human3r run`` wrote, or a bag of people, see ``open_result``.
        format_name: a key of ``FORMATS``.
        out: file or folder to write; None: named after the result, in its folder, or beside a bag.
        world: ``level``, ``yup`` or ``camera``; empty: what is usual for the format.
        up: what says where up is: ``auto``, ``floor`` or ``camera``, see ``choose_world``.
        track_ids: who; None: all seen in at least ``min_share`` of the frames.
        min_share: 0 to 1.
        body_model: file of the run's body model, where it is not where the run found it.
        topic: of the people, where a bag has several.
        session: number of one whose world is wanted; None: the world with the most frames.

    Raises:
        InputError: no result, or axes that the format does not allow.
        BodyModelError: another body model than the run's.
        MissingExtraError: the format needs a package that is not installed.
        OutputError: not writable.
    """
    from human3r.export.open_result import find_result, open_result

    find_result(source)
    from human3r.export.clip import make_clip
    from human3r.export.skin import load_skin
    from human3r.export.worlds import choose_world

    chosen = FORMATS[format_name]
    world = world or chosen.worlds[0]
    if world not in chosen.worlds:
        raise InputError(
            f"--world {world}: {format_name} files are {' or '.join(chosen.worlds)}; expected one "
            "of these. Leave --world out."
        )
    writer = _module(format_name)
    result = open_result(source, topic=topic, session=session, all_worlds=not chosen.has_places)
    clip = make_clip(result, choose_world(result, world, up), track_ids, min_share)
    skin = load_skin(result, body_model) if chosen.needs_body else None
    path = _place(Path(result.folder), format_name, out)
    path = _write(writer, clip, skin, path, chosen)
    return Exported(path, clip, _deviation(clip) if chosen.is_rig else 0.0)


def _module(name: str) -> Any:
    chosen = FORMATS[name]
    try:
        return import_module(f"human3r.export.{name}")
    except ModuleNotFoundError as error:
        if not chosen.extra or (error.name or "").startswith("human3r"):
            raise
        raise MissingExtraError(
            f"{name} needs the package {error.name}, which is not installed; expected the extra "
            f"{chosen.extra!r}. Install it with: pip install 'human3r[{chosen.extra}]'"
        ) from error


def _place(source: Path, name: str, out: str | Path | None) -> Path:
    """Where it goes: of itself into a result's folder, or beside a bag, which is the recorder's."""
    is_folder, ending = FORMATS[name].is_folder, FORMATS[name].suffix or f".{name}"
    is_result = (source / "people.npz").is_file()
    whole = source.resolve()
    stem = whole.stem if whole.is_file() else whole.name
    if out is not None:
        # A folder that is there already is where a file is to go.
        return Path(out) / f"{stem}{ending}" if not is_folder and Path(out).is_dir() else Path(out)
    if is_result:
        return source / (name if is_folder else f"{stem}{ending}")
    return whole.with_name(f"{stem}_{name}" if is_folder else f"{stem}{ending}")


def _write(writer: Any, clip: "Clip", skin: "Skin | None", path: Path, chosen: Format) -> Path:
    from human3r.atomic import ResultFolder, output_errors, whole_file

    arguments = (clip, skin) if chosen.needs_body else (clip,)
    if not chosen.is_folder:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        writer.write(*arguments, path)
        return path
    with ResultFolder(path) as folder:
        about = writer.write(*arguments, folder.part)
        with whole_file(folder.part / MANIFEST) as file:
            text = json.dumps({**manifest(clip), **about}, indent=2)
            file.write(f"{text}\n".encode())
    return folder.path


def manifest(clip: "Clip") -> dict[str, Any]:
    """What every export says about itself, as JSON values."""
    from human3r import __version__

    return {
        "made_by": f"human3r {__version__} export",
        "source": clip.source,
        "axes": clip.world.axes,
        "up_from": clip.world.up_source,
        "rate_hz": round(clip.rate_hz, 6),
        "frames": len(clip.stamps_ns),
        "first_stamp_ns": int(clip.stamps_ns[0]),
        "body_model": clip.body_model,
        "people": [
            {"track_id": person.track_id, "frames": len(person.frames)} for person in clip.people
        ],
        "left_out_track_ids": list(clip.left_out),
    }


def _deviation(clip: "Clip") -> float:
    import numpy as np

    if not clip.people:
        return 0.0
    parts = [person.posed()[:, :22] - person.joints[:, :22] for person in clip.people]
    return float(np.linalg.norm(np.concatenate(parts), axis=-1).mean())
