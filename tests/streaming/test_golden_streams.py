"""Every array of the golden streams, from the prepared image to the bodies in the world."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.conftest import GOLDEN, golden_settings
from tests.streaming.recorder import record_stream

STREAMS = [
    f"{name}.{rope}" for name in ("tiny_landscape", "tiny_ttt_reset") for rope in ("fp32", "fp16")
]
_INPUTS = {"frames_uint8", "kept_views"} | {f"{k}_block_layers" for k in ("enc", "dino", "dec")}


def _load(stream: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{stream}.npz") as file:
        return dict(file)


def _array_names(stream: str) -> list[str]:
    with np.load(GOLDEN / f"{stream}.npz") as file:
        return sorted(set(file.files) - _INPUTS)


@pytest.fixture(scope="module")
def streams(tiny_network, golden_body) -> Callable[[str], dict[str, dict[str, np.ndarray]]]:
    done: dict[str, dict[str, dict[str, np.ndarray]]] = {}

    def run(stream: str) -> dict[str, dict[str, np.ndarray]]:
        if stream not in done:
            golden = _load(stream)
            frames = _load(stream.replace("fp16", "fp32"))["frames_uint8"]
            options = golden_settings(stream)
            got = record_stream(tiny_network, golden_body, frames, options, golden)
            done[stream] = {"want": golden, "got": got}
        return done[stream]

    return run


def allowed(name: str, want: np.ndarray, *, rounded: bool) -> np.ndarray:
    """How far a float array may be off, number by number; see golden/README.md."""
    if name == "final_focal":
        return np.full(want.shape, 1e-2)
    share = 1e-4
    if name.startswith("pts3d_") or name == "final_pts3d_world":
        share = 5e-4
    if name == "smpl_rotvec" or rounded:
        share = 1e-3
    want = want.astype(np.float64)
    return 1e-3 * np.abs(want) + share * np.sqrt((want**2).mean())


@pytest.mark.parametrize(
    ("stream", "name"), [(stream, name) for stream in STREAMS for name in _array_names(stream)]
)
def test_stream_repeats_the_golden_numbers(streams, stream, name):
    run = streams(stream)
    want, got = run["want"][name], run["got"][name]
    assert got.shape == want.shape
    if want.dtype.kind in "biu":
        assert np.array_equal(got, want)
        return
    excess = np.abs(got.astype(np.float64) - want) - allowed(
        name, want, rounded=stream.endswith("fp16")
    )
    assert excess.max() <= 0, f"{name}: {excess.max():.3g} more than allowed"


def test_float32_stays_near_the_rounded_reference(streams):
    """The rounding is a quirk of the reference; without it the answers hardly differ."""
    want = streams("tiny_landscape.fp16")["want"]
    got = streams("tiny_landscape.fp32")["got"]
    for name in ("pts3d_in_self_view", "camera_pose", "state_new", "smpl_transl"):
        scale = np.sqrt((want[name].astype(np.float64) ** 2).mean())
        assert np.abs(got[name] - want[name]).max() < 3e-3 * scale + 1e-3 * np.abs(want[name]).max()
        assert not np.array_equal(got[name], streams("tiny_landscape.fp16")["got"][name])
