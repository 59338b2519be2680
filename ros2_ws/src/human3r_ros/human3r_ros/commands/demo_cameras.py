"""``human3r demo --cameras V``: a synthetic scene before several cameras, each person with one id.

The scene is drawn by human3r_lab, run by `human3r multi`, and shown in one picture.
"""

import logging
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from human3r.cli.main import main as human3r
from human3r.errors import InputError, OutputError
from human3r.plugins import COMMANDS, load_plugin

log = logging.getLogger(__name__)

_SCENE = ("--sequences", "1", "--split", "test", "--difficulty", "easy", "--seed", "1")
_FILM = ("--frames", "24", "--rate", "8", "--size", "448x320")
_CHOICES = (2, 3, 4)


def run_cameras(cameras: int, out: Path) -> int:
    """Draw, run and show; the exit code.

    Args:
        cameras: 2 to 4.
        out: folder to write; a taken one gets a number.

    Raises:
        InputError: another number of cameras.
        MissingExtraError: human3r_lab is not installed.
        OutputError: the folder cannot be written.
    """
    if cameras not in _CHOICES:
        raise InputError(f"--cameras is {cameras}; expected 2, 3 or 4.")
    synth = load_plugin(COMMANDS, "synth")
    work = out.parent / f".{out.name}.scene"
    try:
        words = [str(work / "data"), *_SCENE, *_FILM, "--cameras", str(cameras)]
        log.info("drawing a room before %d cameras", cameras)
        # It names files that are gone at the end.
        with redirect_stdout(StringIO()):
            code = synth([*words, "--rig", str(work / "rig")])
        if code != 0:
            raise OutputError(f"{work}: the scene could not be drawn; see above.")
        code = human3r(["multi", str(work / "rig" / "cameras.yaml"), "--out", str(out)])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return code
