"""Before and after refinement on sequences of the synthetic benchmark, run as a user would."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from human3r.batch.work import is_complete
from human3r.errors import InputError
from human3r_lab.datasets.clip_truth import write_clip_truth
from human3r_lab.evaluation.refine_part import MEASURES, numbers_before_and_after, read_truth
from human3r_lab.evaluation.synthetic_sequences import (
    FIRST_SEED,
    FRAMES,
    HALVES,
    IMAGE_SIZE_PX,
    RATE_HZ,
    require_renderer,
)

Command = Callable[[list[str]], int]
"""``human3r`` with arguments."""
_NEAR_ONE = ("camera_scale",)
"""Measures that are best at 1; the others are best at 0."""
_SAME = 0.02
"""Changes by a smaller share are none."""


@dataclass(frozen=True)
class BeforeAfter:
    """Numbers of one sequence, by the names of ``MEASURES``; None without people."""

    name: str
    before: dict[str, float] | None
    after: dict[str, float] | None


def render_to(folder: Path, seed: int, half: str, split: str, frames: int = FRAMES) -> None:
    """Images with stamps.txt as a folder, and the truth beside it; nothing when it is there.

    Raises:
        MissingExtraError: the renderer is not installed.
    """
    if truth_path(folder).is_file():
        return
    require_renderer()
    from human3r_lab.synth.generator import render_sequence

    width, height = IMAGE_SIZE_PX
    views = list(
        render_sequence(
            seed,
            split=split,
            difficulty=half,
            frames=frames,
            rate_hz=RATE_HZ,
            width_px=width,
            height_px=height,
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(views):
        cv2.imwrite(str(folder / f"{number:06d}.png"), view.image[:, :, ::-1])
    stamps = "".join(f"{view.stamp_ns / 1e9:.9f}\n" for view in views)
    (folder / "stamps.txt").write_text(stamps, "utf-8")
    write_clip_truth(truth_path(folder), views)


def truth_path(folder: Path) -> Path:
    """Beside the images of a sequence."""
    return folder.with_suffix(".npz")


def measure_sequence(out: Path, name: str, human3r: Command, truth: Path) -> BeforeAfter:
    """Run and refine a folder of images, and compare both with the truth.

    What an earlier call finished is not run again.

    Args:
        out: with ``images/NAME``; gets ``live/NAME`` and ``refined/NAME``.
        name: of the sequence.
        human3r: runs a command.
        truth: about the sequence.

    Raises:
        InputError: a command failed.
    """
    live, refined = out / "live" / name, out / "refined" / name
    run = ["run", str(out / "images" / name), "--save", "people,trajectory,scene,frames"]
    for arguments, folder in (
        ([*run, "--out", str(live)], live),
        (["refine", str(live), "--out", str(refined)], refined),
    ):
        if not is_complete(folder) and human3r(arguments):
            raise InputError(
                f"{name}: human3r {arguments[0]} failed; expected a result. Run it by hand: "
                f"human3r {' '.join(arguments)}"
            )
    about = read_truth(truth)
    try:
        return BeforeAfter(name, *numbers_before_and_after(live, refined, about))
    except InputError:
        return BeforeAfter(name, None, None)


def measure(
    out: Path,
    count: int,
    split: str,
    human3r: Command,
    tell: Callable[[BeforeAfter], None] = lambda one: None,
) -> list[BeforeAfter]:
    """The first ``count`` sequences of each half of a split."""
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        for half in HALVES:
            name = f"{half}-{seed:03d}"
            images = out / "images" / name
            render_to(images, seed, half, split)
            found.append(measure_sequence(out, name, human3r, truth_path(images)))
            tell(found[-1])
    return found


def summary_table(found: list[BeforeAfter]) -> str:
    """Medians over the sequences in Markdown, and in how many it became better and worse.

    Raises:
        InputError: no person was found in any of them.
    """
    seen = [(one.before, one.after) for one in found if one.before and one.after]
    if not seen:
        raise InputError("nobody of the truth was found in any sequence; expected some people.")
    lines = ["| | before | after | better | worse |", "| --- | --- | --- | --- | --- |"]
    for name, words in MEASURES.items():
        pairs = np.array([(before[name], after[name]) for before, after in seen])
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if not len(pairs):
            continue
        off = np.abs(np.log(pairs)) if name in _NEAR_ONE else pairs
        better = int((off[:, 1] < (1 - _SAME) * off[:, 0]).sum())
        worse = int((off[:, 1] > (1 + _SAME) * off[:, 0]).sum())
        before, after = np.median(pairs, axis=0)
        label = words.replace(" (truth in brackets)", "")
        lines.append(f"| {label} | {before:.3g} | {after:.3g} | {better} | {worse} |")
    return "\n".join(lines)
