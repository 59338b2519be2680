"""Where feet and pelvises are before and after refinement, from the side and from above."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from human3r.atomic import whole_file
from human3r.errors import InputError
from human3r.export.result import read_result
from human3r_lab.evaluation.refine_part import ClipTruth, people_of

_FEET = (10, 11)
_PELVIS = 0


def write_picture(path: Path, before: str | Path, after: str | Path, truth: ClipTruth) -> None:
    """Per person: heights of both feet over time, and the pelvis's way over the floor, as a PNG.

    Nothing is aligned: both worlds begin at the first camera, as the true one.

    Args:
        path: of the picture.
        before: folder of ``human3r run``.
        after: folder of ``human3r refine``.
        truth: about the clip.

    Raises:
        InputError: no true person was found in both.
        OutputError: the picture cannot be written.
    """
    results = [
        (word, read_result(folder)) for word, folder in (("before", before), ("after", after))
    ]
    seen = [(word, people_of(result, truth)) for word, result in results]
    people = sorted(set(seen[0][1]) & set(seen[1][1]))
    if not people:
        raise InputError(f"{before}, {after}: nobody of the truth was found in both.")
    times_s = (truth.stamps_ns - truth.stamps_ns[0]) / 1e9
    # The true world has z up; the first camera is the origin of all of them.
    turn = truth.world_from_camera[0, :3, :3]
    figure = Figure(figsize=(5.5 * len(people), 7.5), layout="constrained")
    axes = figure.subplots(2, len(people), squeeze=False)
    lines = {"before": "tab:orange", "after": "tab:blue", "truth": "black"}
    for column, person in enumerate(people):
        side, top = axes[:, column]
        shown = [(word, *found[person]) for word, found in seen]
        frames = shown[0][1]
        true = truth.joints_world[frames, person] - truth.world_from_camera[0, :3, 3]
        shown.append(("truth", frames, true @ turn))
        floor_m = float(np.nanmin(true[:, _FEET, 2]))
        for word, rows, joints in shown:
            there = joints @ turn.T
            heights = 100 * (there[:, _FEET, 2].min(axis=1) - floor_m)
            side.plot(times_s[rows], heights, color=lines[word], label=word, lw=1.3)
            top.plot(there[:, _PELVIS, 0], there[:, _PELVIS, 1], color=lines[word], lw=1.3)
        side.axhline(0, color="grey", lw=0.6)
        side.set(xlabel="s", ylabel="lower foot above its lowest true place, cm")
        side.set_title(f"person {person + 1}")
        top.set(xlabel="m", ylabel="pelvis from above, m", aspect="equal")
        side.legend(frameon=False)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=90)
