"""Real processes that make files: kept, redone, replaced, and never half-written."""

import os

import pytest
from human3r_lab.datasets.sequence_file import SequenceFile, open_folder
from human3r_lab.synth.orders import list_orders
from human3r_lab.synth.production import order_path, produce

from human3r.errors import Human3RError, InputError, OutputError

FAKE = "tests.synth.fake_generator:"


def orders(count=3, **changes):
    wanted = {"split": "train", "difficulty": "mixed", "frames": 2, "rate_hz": 6.0}
    return list_orders(count, 0, **{**wanted, "width_px": 96, "height_px": 64, **changes})


def make(folder, wanted, renderer="render", **options):
    return list(produce(folder, wanted, 2, renderer=FAKE + renderer, **options))


def everything_in(folder):
    return sorted(path.name for path in folder.iterdir())


NAMES = [
    "train-easy-000000.safetensors",
    "train-easy-000002.safetensors",
    "train-hard-000001.safetensors",
]


def test_every_sequence_gets_a_whole_file_and_what_is_there_is_kept(tmp_path):
    folder = tmp_path / "new" / "data"
    assert {event.kind for event in make(folder, orders())} == {"made"}
    assert everything_in(folder) == NAMES
    first = SequenceFile(folder / NAMES[0])
    assert first.metadata["seed"] == 0
    assert first.metadata["difficulty"] == "easy"
    assert first.view(1).image[0, 0, 0] == 0
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    events = make(folder, orders(4))
    assert [event.kind for event in events] == ["kept", "kept", "kept", "made"]
    assert all((folder / name).stat().st_mtime_ns == when for name, when in before.items())


def test_overwrite_makes_them_again(tmp_path):
    make(tmp_path, orders(1))
    assert [e.kind for e in make(tmp_path, orders(1, frames=3), overwrite=True)] == ["made"]
    assert len(open_folder(tmp_path)[0]) == 3


@pytest.mark.parametrize("change", [{"frames": 3}, {"width_px": 64}, {"rate_hz": 5.0}])
def test_files_with_other_settings_are_not_mixed_in(tmp_path, change):
    make(tmp_path, orders(1))
    with pytest.raises(InputError, match=r"other settings \((frames|size|rate_hz).*--overwrite"):
        make(tmp_path, orders(1, **change))


def test_a_damaged_file_and_leftovers_of_dead_writers_are_replaced(tmp_path):
    (tmp_path / NAMES[0]).write_bytes(b"half a file")
    (tmp_path / f".{NAMES[0]}.999999999.part").write_bytes(b"leftover")
    alive = tmp_path / f".{NAMES[0]}.{os.getpid()}.part"
    alive.write_bytes(b"somebody is writing this")
    assert [event.kind for event in make(tmp_path, orders(1))] == ["made"]
    assert everything_in(tmp_path) == [alive.name, NAMES[0]]
    assert len(SequenceFile(tmp_path / NAMES[0])) == 2


def test_a_killed_worker_is_told_and_its_sequence_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN3R_TEST_MARK", str(tmp_path / "died"))
    folder = tmp_path / "data"
    events = make(folder, orders(2), "render_or_die")
    assert sorted((e.name, e.kind, e.detail) for e in events) == [
        ("train-easy-000000", "made", ""),
        ("train-hard-000001", "lost", "killed by SIGKILL"),
        ("train-hard-000001", "made", ""),
    ]
    assert everything_in(folder) == [NAMES[0], NAMES[2]]


def test_workers_that_always_die_end_the_work(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMAN3R_TEST_MARK", str(tmp_path / "died"))
    folder = tmp_path / "data"
    with pytest.raises(OutputError, match=r"train-easy-000002: the worker .* 3 times .*SIGKILL"):
        make(folder, orders(3)[2:], "render_or_die")
    assert everything_in(folder) == []


def test_a_fault_while_drawing_names_the_sequence(tmp_path):
    with pytest.raises(Human3RError, match="train-hard-000001: ValueError: told to fail"):
        make(tmp_path, orders(2)[1:], "render_or_fail")
    assert everything_in(tmp_path) == []


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match=r"000000.*cannot be written .*elsewhere"):
        make(tmp_path, orders(1), "render_without_room")
    assert everything_in(tmp_path) == []


def test_leaving_early_ends_the_workers_and_their_files(tmp_path):
    events = produce(tmp_path, orders(2)[1:] + orders(1), 1, renderer=FAKE + "render")
    next(events)
    events.close()
    found = everything_in(tmp_path)
    assert NAMES[2] in found
    # The worker may have finished the other one meanwhile; nothing begun is left.
    assert set(found) <= {NAMES[2], NAMES[0]}


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        make(tmp_path / "file", orders(1))


def test_an_order_says_what_is_wrong_with_it():
    for change, words in (
        ({"split": "exam"}, "split is 'exam'; expected one of train, val, test"),
        ({"difficulty": "odd"}, "difficulty is 'odd'; expected one of easy, hard"),
        ({"frames": 0}, "0 frames"),
        ({"rate_hz": float("nan")}, "nan Hz"),
        ({"width_px": 8}, "size is 8x64"),
        ({"height_px": 100_000}, "expected 16 to 4096"),
    ):
        with pytest.raises(InputError, match=words):
            orders(1, **change)


def test_names_of_splits_and_difficulties_never_meet(tmp_path):
    paths = [
        order_path(tmp_path, order)
        for split in ("train", "val", "test")
        for difficulty in ("easy", "hard")
        for order in orders(3, split=split, difficulty=difficulty)
    ]
    assert len(set(paths)) == 18
