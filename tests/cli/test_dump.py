"""``human3r dump`` against the golden files, and what it refuses."""

import io
import os
import zipfile

import numpy as np
import pytest

from human3r.cli.dump import read_frames
from human3r.cli.main import main
from human3r.errors import InputError
from tests.conftest import GOLDEN, golden_settings
from tests.streaming.test_golden_streams import allowed

_LISTED = (
    *("view_frame", "view_reset", "n_humans", "pts3d_in_self_view", "conf_self"),
    *("pts3d_in_other_view", "conf", "camera_pose", "camera_c2w_chunk", "msk", "state_new"),
    *("mem_new", "det_hw", "smpl_rotmat", "smpl_shape", "smpl_transl", "smpl_expression"),
    *("smpl_id", "smpl_loc", "joints", "vertices"),
)
_STRIDED = {"pts3d_in_self_view", "conf_self", "pts3d_in_other_view", "conf", "msk"}


def _dump(frames, weights_file, body_file, out, *options):
    files = ("--weights", weights_file, "--body-model", body_file, "--out", out)
    return main(["dump", str(frames), *map(str, files), *options])


@pytest.fixture
def few_frames(golden_frames, tmp_path):
    path = tmp_path / "frames.npz"
    np.savez(path, frames_uint8=golden_frames[:1])
    return path


@pytest.mark.parametrize(
    "stream",
    [
        "tiny_landscape.fp32",
        # The same numbers without the command: tests/streaming/test_golden_streams.py.
        pytest.param("tiny_ttt_reset.fp32", marks=pytest.mark.slow),
        pytest.param("tiny_ttt_reset.fp16", marks=pytest.mark.slow),
    ],
)
def test_dump_repeats_the_golden_files(stream, weights_file, body_file, tmp_path, capsys):
    options = golden_settings(stream)
    frames = GOLDEN / f"{stream.replace('fp16', 'fp32')}.npz"
    out = tmp_path / "out.npz"
    code = _dump(
        *(frames, weights_file, body_file, out, "--size", "160"),
        *("--reset-interval", str(options["reset_interval"])),
        "--ttt3r" if options["use_ttt3r"] else "--no-ttt3r",
        *("--rope-dtype", options["encoder_rope_dtype"]),
    )
    assert code == 0
    assert "out.npz" in capsys.readouterr().out
    with np.load(out) as file, np.load(GOLDEN / f"{stream}.npz") as golden:
        names = [*_LISTED, "ttt_gate"] if options["use_ttt3r"] else _LISTED
        assert sorted(file.files) == sorted(names)
        for name in set(names) & set(golden.files):
            got, want = file[name], golden[name]
            if name in _STRIDED:
                assert got.shape[1:3] == ((224, 224) if name == "msk" else (96, 160))
                got = got[:, :: options["subsample"], :: options["subsample"]]
            assert got.shape == want.shape, name
            assert got.dtype == want.dtype, name
            if want.dtype.kind in "biu":
                assert np.array_equal(got, want), name
            else:
                limit = allowed(name, want, rounded=stream.endswith("fp16"))
                assert (np.abs(got.astype(np.float64) - want) <= limit).all(), name
        people = int(file["n_humans"].sum())
        assert file["joints"].shape == (people, 127, 3)
        assert file["vertices"].shape == (people, 300, 3)
        assert np.allclose(file["joints"][:, 15], file["smpl_transl"], atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_frames_with_nobody_give_empty_arrays(weights_file, body_file, tmp_path):
    np.savez(tmp_path / "frames.npz", frames_uint8=np.zeros((1, 96, 160, 3), np.uint8))
    assert _dump(tmp_path / "frames.npz", weights_file, body_file, tmp_path / "out.npz") == 0
    with np.load(tmp_path / "out.npz") as file:
        assert file["n_humans"].tolist() == [0]
        assert file["vertices"].shape == (0, 300, 3)
        assert file["joints"].shape == (0, 127, 3)
        assert file["smpl_rotmat"].shape == (0, 53, 3, 3)
        assert file["det_hw"].shape == (0, 2)
        assert file["det_hw"].dtype == file["smpl_id"].dtype == np.int64


def _npz(content: dict[str, bytes], compress=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        for name, data in content.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def _npy(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **options)
    return buffer.getvalue()


def _claim(shape) -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(100)


class _Trap:
    def __reduce__(self):
        raise_if_run = "raise SystemExit('the pickle was run')"
        return (exec, (raise_if_run,))


_BAD_FRAMES = {
    "no npz": b"some text",
    "nothing": b"",
    "truncated": _npz({"frames_uint8": _npy(np.zeros((2, 96, 160, 3), np.uint8))})[:-200],
    "another array": _npz({"frames": _npy(np.zeros((2, 96, 160, 3), np.uint8))}),
    "no npy": _npz({"frames_uint8": b"text"}),
    "floats": _npz({"frames_uint8": _npy(np.zeros((2, 96, 160, 3), np.float32))}),
    "one image": _npz({"frames_uint8": _npy(np.zeros((96, 160, 3), np.uint8))}),
    "no frame": _npz({"frames_uint8": _npy(np.zeros((0, 96, 160, 3), np.uint8))}),
    "alpha": _npz({"frames_uint8": _npy(np.zeros((2, 96, 160, 4), np.uint8))}),
    "false claim": _npz({"frames_uint8": _claim((10**6, 1000, 1000, 3))}),
    "negative claim": _npz({"frames_uint8": _claim((-1, 1000, 1000, 3))}),
    "objects": _npz({"frames_uint8": _npy(np.array([_Trap()], object), allow_pickle=True)}),
}


@pytest.mark.parametrize("content", _BAD_FRAMES.values(), ids=_BAD_FRAMES)
def test_unusable_frames_are_refused(content, tmp_path, capsys):
    (tmp_path / "frames.npz").write_bytes(content)
    out = tmp_path / "out.npz"
    # Weights that do not exist show that the frames are looked at first, before anything loads.
    assert _dump(tmp_path / "frames.npz", tmp_path / "none", tmp_path / "none", out) == 1
    message = capsys.readouterr().err
    assert "frames.npz" in message
    assert "expected" in message
    assert "unexpected" not in message, "a fault, not a refusal"
    assert [path.name for path in tmp_path.iterdir()] == ["frames.npz"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--reset-interval", "-1"), "--reset-interval is -1"),
        (("--size", "5000"), "model.input_size is 5000"),
        (("--size", "-2"), "model.input_size is -2"),
        (("--device", "abacus"), "abacus"),
    ],
    ids=["reset interval", "large", "negative", "device"],
)
def test_unusable_options_are_refused(few_frames, tmp_path, capsys, options, expected):
    out = tmp_path / "out.npz"
    assert _dump(few_frames, tmp_path / "none", tmp_path / "none", out, *options) == 1
    assert expected in capsys.readouterr().err
    assert not out.exists()


def test_a_size_without_a_patch_leaves_no_file(few_frames, weights_file, body_file, tmp_path):
    out = tmp_path / "out.npz"
    assert _dump(few_frames, weights_file, body_file, out, "--size", "16") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["frames.npz"]


def test_a_place_that_cannot_be_written_is_refused(
    few_frames, weights_file, body_file, tmp_path, capsys
):
    out = tmp_path / "nowhere" / "out.npz"
    assert _dump(few_frames, weights_file, body_file, out) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_pipe_is_no_file_of_frames(tmp_path):
    pipe = tmp_path / "frames.npz"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="no such file"):
        read_frames(pipe)
