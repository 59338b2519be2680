import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from human3r import npz
from human3r.body import load_body_model
from human3r.body.convert import convert_body, describe_body
from human3r.errors import BodyModelError, DeviceError, OutputError
from tests import synthetic_smplx


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return synthetic_smplx.build(num_vertices=120, num_faces=90)


@pytest.fixture
def save(tmp_path):
    def write(arrays: dict[str, np.ndarray], name: str = "SMPLX_NEUTRAL.npz") -> Path:
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def posed(path: Path) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    rotations = torch.linalg.qr(torch.randn(2, 53, 3, 3, generator=generator))[0]
    rotations = rotations * torch.linalg.det(rotations)[..., None, None]
    numbers = torch.randn(2, 23, generator=generator)
    mesh = load_body_model(path)(rotations, *numbers.split([10, 10, 3], dim=1))
    return torch.cat([mesh.vertices, mesh.joints], dim=1).numpy()


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_model_is_found_by_file_and_by_directory(arrays, save, tmp_path):
    path = save(arrays)
    for place in (path, tmp_path, str(tmp_path)):
        assert load_body_model(place).name == "smplx_neutral"
    (tmp_path / "smplx").mkdir()
    path.rename(tmp_path / "smplx" / "SMPLX_NEUTRAL.npz")
    assert load_body_model(tmp_path).num_vertices == 120


def test_a_missing_model_is_said(tmp_path):
    with pytest.raises(BodyModelError, match="no body model in this directory"):
        load_body_model(tmp_path)
    with pytest.raises(BodyModelError, match="no such file"):
        load_body_model(tmp_path / "none.npz")


def test_directions_of_20_and_of_310_columns_mean_the_same(arrays, save):
    wide = arrays["shapedirs"]
    narrow = np.concatenate([wide[..., :10], wide[..., 300:310]], axis=-1)
    expected = posed(save(arrays))
    for directions in (wide[..., :310], narrow):
        assert np.allclose(posed(save({**arrays, "shapedirs": directions})), expected, atol=1e-6)


def test_a_sparse_regressor_means_the_same(arrays, save):
    expected = posed(save(arrays))
    row, column = np.nonzero(arrays["J_regressor"])
    sparse = {
        **{name: array for name, array in arrays.items() if name != "J_regressor"},
        "J_regressor_row": row.astype(np.uint8),
        "J_regressor_column": column,
        "J_regressor_value": arrays["J_regressor"][row, column],
    }
    assert np.allclose(posed(save(sparse)), expected, atol=1e-6)


def test_landmarks_are_those_the_file_offers(arrays, save):
    bare = {k: v for k, v in arrays.items() if not k.startswith(("lmk", "landmark"))}
    assert len(load_body_model(save(bare)).joint_names) == 55
    named = {
        **bare,
        "landmark_vertices": np.array([3, 4]),
        "landmark_names": np.array(["left_tail", "right_tail"]),
    }
    body = load_body_model(save(named))
    assert body.joint_names[55:] == ("left_tail", "right_tail")
    zeros = torch.zeros(1, 10)
    mesh = body(torch.eye(3).repeat(1, 53, 1, 1), zeros, zeros, torch.zeros(1, 3))
    assert torch.equal(mesh.joints[0, 55:], mesh.vertices[0, 3:5])


def changed(**changes):
    def change(arrays):
        return {**arrays, **{name: make(arrays.get(name)) for name, make in changes.items()}}

    return change


def without(name):
    return lambda arrays: {key: array for key, array in arrays.items() if key != name}


def with_nan(array):
    array = array.copy()
    array.flat[7] = np.nan
    return array


BAD = {
    "v_template": changed(v_template=lambda a: a[:, :2]),
    "shapedirs": changed(shapedirs=lambda a: a[..., :100]),
    "shapedirs ": changed(shapedirs=lambda a: a[:-1]),
    "shapedirs  ": changed(shapedirs=lambda a: a[0]),
    "posedirs": changed(posedirs=lambda a: a[..., :-1]),
    "J_regressor": changed(J_regressor=lambda a: a[:54]),
    "J_regressor ": without("J_regressor"),
    "weights": changed(weights=lambda a: 2 * a),
    "weights ": changed(weights=with_nan),
    "weights  ": without("weights"),
    "kintree_table": changed(kintree_table=lambda a: a[:, ::-1]),
    "kintree_table ": changed(kintree_table=lambda a: a.astype(float)),
    "f": changed(f=lambda a: a + 60),
    "f ": changed(f=lambda a: a.astype(float)),
    "f  ": without("f"),
    "v_template ": changed(v_template=with_nan),
    "v_template  ": changed(v_template=lambda a: (a * 1e300).astype(np.float64) * 1e300),
    "v_template   ": changed(v_template=lambda a: a.astype(np.complex64)),
    "lmk_faces_idx": changed(lmk_faces_idx=lambda a: a - 100),
    "lmk_faces_idx ": changed(lmk_faces_idx=lambda a: a[:50]),
    "lmk_bary_coords": without("lmk_bary_coords"),
    "landmark_vertices": changed(landmark_vertices=lambda a: a * 2),
    "landmark_vertices ": changed(landmark_vertices=lambda a: a[:20]),
    "landmark_names": changed(landmark_names=lambda _: np.array(["x" * 500] * 21)),
    "landmark_names ": changed(landmark_names=lambda _: np.arange(21)),
    "J_regressor_column": lambda arrays: {
        **without("J_regressor")(arrays),
        "J_regressor_row": np.array([0]),
        "J_regressor_column": np.array([120]),
        "J_regressor_value": np.array([1.0]),
    },
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_wrong_array_is_named(arrays, save, name):
    with pytest.raises(BodyModelError, match=rf"array {name.strip()}\b.*expected"):
        load_body_model(save(BAD[name](arrays)))


def test_an_array_of_objects_is_refused_and_nothing_runs(arrays, save, tmp_path):
    mark = tmp_path / "mark"
    bad = {**arrays, "weights": np.array([Bomb(mark)], dtype=object)}
    with pytest.raises(BodyModelError, match=r"weights holds Python objects.*human3r body convert"):
        load_body_model(save(bad))
    assert not mark.exists()


def test_other_arrays_of_objects_do_not_matter(arrays, save, tmp_path):
    mark = tmp_path / "mark"
    assert load_body_model(save({**arrays, "joint2num": np.array(Bomb(mark), dtype=object)}))
    assert not mark.exists()


def test_other_files_are_refused(tmp_path, arrays, save):
    pkl = tmp_path / "SMPLX_NEUTRAL.pkl"
    pkl.write_bytes(pickle.dumps(arrays))
    with pytest.raises(BodyModelError, match=r"is a pickle.*human3r body convert"):
        load_body_model(pkl)
    disguised = pkl.rename(tmp_path / "disguised.npz")
    with pytest.raises(BodyModelError, match=r"is a pickle.*human3r body convert"):
        load_body_model(disguised)
    whole = save(arrays).read_bytes()
    part = tmp_path / "part.npz"
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        part.write_bytes(whole[:length])
        with pytest.raises(BodyModelError):
            load_body_model(part)
    middle = len(whole) // 2
    part.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    with pytest.raises(BodyModelError, match="CRC"):
        load_body_model(part)


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(1 << 40, 3), (1 << 62, 1 << 62), (-4, 3)])
def test_a_claimed_shape_is_not_believed(tmp_path, shape):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v_template.npy", npy_header(shape) + bytes(100))
    with pytest.raises(BodyModelError, match=r"v_template|negative"):
        load_body_model(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_ARRAY_BYTES", 1 << 20)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("v_template.npy", npy_header((1 << 20, 3)) + bytes(3 << 22))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(BodyModelError, match=r"declares .* bytes"):
        load_body_model(path)


def test_an_unusable_device_is_said(arrays, save):
    with pytest.raises(DeviceError, match="expected cpu"):
        load_body_model(save(arrays), device="cuda:99")


# Conversion


class Chumpy:
    """Looks in a pickle like an object of chumpy around an array."""

    def __init__(self, x: object) -> None:
        self.x = x
        self.dirty = {"more": [1, 2]}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_pickle_converts_to_the_same_body(arrays, save, tmp_path, protocol, order):
    expected = posed(save(arrays))
    stored: dict[str, object] = {
        name: np.asarray(array, order=order) for name, array in arrays.items()
    }
    stored["v_template"] = arrays["v_template"].astype(">f8")
    stored["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    stored["shapedirs"] = Chumpy(stored["shapedirs"])
    stored["bs_type"] = "lrotmin"
    stored["part2num"] = {"head": Bomb(tmp_path / "mark")}
    source = tmp_path / "SMPLX_NEUTRAL.pkl"
    source.write_bytes(pickle.dumps(stored, protocol))
    summary = convert_body(source, tmp_path / "out.npz")
    assert not (tmp_path / "mark").exists()
    assert summary.num_vertices == 120
    assert len(summary.landmark_names) == 72
    assert np.allclose(posed(tmp_path / "out.npz"), expected, atol=1e-6)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= set("fiu")
        assert {file[name].dtype for name in file.files if file[name].dtype.kind == "f"} == {
            np.dtype(np.float32)
        }
        assert file["shapedirs"].shape == (120, 3, 20)


def test_a_pickle_of_python_2_is_read(arrays, tmp_path):
    # Python 2 wrote text, not bytes: the operation SHORT_BINSTRING or BINSTRING.
    numbers = arrays["lmk_bary_coords"].astype("<f4")
    data = (
        b"\x80\x02}U\x0flmk_bary_coordscnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x33K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", numbers.nbytes)
        + numbers.tobytes()
        + b"tbs."
    )
    path = tmp_path / "old.pkl"
    path.write_bytes(data)
    from human3r.body.pickled_model import read_pickled_arrays

    found = read_pickled_arrays(path, ["lmk_bary_coords", "weights"])
    assert list(found) == ["lmk_bary_coords"]
    assert np.array_equal(found["lmk_bary_coords"], numbers)


def test_rows_compressed_and_selected_arrays_are_read(arrays, tmp_path):
    from human3r.body.pickled_model import read_pickled_arrays

    class Select:
        def __init__(self) -> None:
            self.a = Chumpy(np.arange(10.0))
            self.idxs = np.array([1, 3, 5, 7])
            self.preferred_shape = (2, 2)

    Select.__qualname__ = "Select"
    globals()["Select"] = Select
    content = {"J_regressor": scipy.sparse.csr_matrix(arrays["J_regressor"]), "f": Select()}
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(content))
    found = read_pickled_arrays(path, content)
    assert np.array_equal(found["J_regressor"], arrays["J_regressor"])
    assert found["f"].tolist() == [[1, 3], [5, 7]]


def test_an_npz_converts_too(arrays, save, tmp_path):
    source = save({**arrays, "joint2num": np.array({"a": 1}, dtype=object)})
    convert_body(source, tmp_path / "out.npz")
    assert np.array_equal(posed(tmp_path / "out.npz"), posed(source))
    assert describe_body(tmp_path / "out.npz").has_pose_directions


class Claim:
    """A numpy array whose pickle claims another size, type or form."""

    def __init__(self, state: tuple) -> None:
        self.state = state

    def __reduce__(self):
        return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


DOUBLE = np.dtype("<f8")


@pytest.mark.parametrize(
    "value",
    [
        Claim((1, (1 << 40,), DOUBLE, False, b"12345678")),
        Claim((1, (-1, -1), DOUBLE, False, b"12345678")),
        Claim((1, (1,) * 9, DOUBLE, False, b"12345678")),
        Claim((1, (1,), np.dtype("O"), False, [1])),
        Claim((1, (1,), np.dtype("V8"), False, b"12345678")),
        Claim((1, (1,), DOUBLE, False, [1])),
        Claim((1, [1], DOUBLE, False, b"12345678")),
        Claim((1, (1,), "f8", False, b"12345678")),
        Claim(("x",)),
        Chumpy(Chumpy(Chumpy(Chumpy(Chumpy(1))))),
        [[1.0, 2.0]],
        None,
    ],
)
def test_arrays_in_other_forms_are_refused_by_name(arrays, tmp_path, value):
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({**arrays, "v_template": value}))
    with pytest.raises(BodyModelError, match=r"array v_template: .*expected"):
        convert_body(path, tmp_path / "out.npz")
    assert list(tmp_path.iterdir()) == [path]


def test_a_hostile_sparse_matrix_is_refused(arrays, tmp_path):
    def matrix(**changes) -> scipy.sparse.csc_matrix:
        matrix = scipy.sparse.csc_matrix(arrays["J_regressor"])
        vars(matrix).update(changes)
        return matrix

    good = matrix()
    path = tmp_path / "m.pkl"
    for bad in (
        matrix(_shape=(1 << 30, 1 << 30)),
        matrix(_shape=(3, 120)),
        matrix(indices=good.indices + 1000),
        matrix(indptr=good.indptr[:-1]),
        matrix(indptr=good.indptr[::-1].copy()),
        matrix(data=good.data[:-1]),
    ):
        path.write_bytes(pickle.dumps({**arrays, "J_regressor": bad}))
        with pytest.raises(BodyModelError, match="array J_regressor"):
            convert_body(path, tmp_path / "out.npz")


def test_a_hostile_pickle_runs_nothing_and_leaves_nothing(tmp_path):
    path, mark = tmp_path / "m.pkl", tmp_path / "mark"
    for content in (Bomb(mark), {"v_template": Bomb(mark)}, [Bomb(mark)]):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(BodyModelError):
            convert_body(path, tmp_path / "out.npz")
    assert list(tmp_path.iterdir()) == [path]


def test_a_truncated_pickle_is_refused(arrays, tmp_path):
    path = tmp_path / "m.pkl"
    data = pickle.dumps(arrays)
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(BodyModelError, match=r"cannot be read as a pickle|is an empty file"):
            convert_body(path, tmp_path / "out.npz")


def test_a_target_that_cannot_be_written_is_said(arrays, save, tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        convert_body(save(arrays), tmp_path / "no" / "out.npz")
