import dataclasses

import pytest

from human3r.config import Settings
from human3r.errors import ConfigError
from human3r.setting import dump_yaml, load_yaml


def test_every_default_is_allowed_and_described():
    Settings()
    for spec in Settings.specs().values():
        assert spec.help.endswith("."), spec.name
        assert spec.type in (bool, int, float, str)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"scene\.voxel_m"):
        Settings().replace({"scene.voxel": 0.1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scene.max_points", 3),
        ("scene.max_points", 1.5),
        ("scene.max_points", True),
        ("scene.voxel_m", float("nan")),
        ("scene.voxel_m", float("inf")),
        ("scene.remove_people", "maybe"),
        ("model.ttt3r", 1),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        Settings().replace({name: value})


def test_settings_are_checked_together():
    with pytest.raises(ConfigError, match="min below max"):
        Settings().replace({"scene.min_range_m": 4.0, "scene.max_range_m": 1.0})
    with pytest.raises(ConfigError, match=r"input\.queue"):
        Settings().replace({"input.queue": 5})
    assert Settings().replace({"input.queue": 5, "input.policy": "every"}).input.queue == 5


def test_whole_numbers_pass_as_floats():
    assert Settings().replace({"scene.voxel_m": 1}).scene.voxel_m == 1.0


@pytest.mark.parametrize("with_help", [False, True])
def test_yaml_round_trip(tmp_path, with_help):
    changed = Settings().replace({"scene.voxel_m": 0.5, "people.id_prefix": "p", "tf.mode": "none"})
    path = tmp_path / "settings.yaml"
    path.write_text(dump_yaml(changed, with_help=with_help))
    assert Settings().replace(load_yaml(path)) == changed


def test_a_ros_parameter_file_is_read_too(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("human3r:\n  ros__parameters:\n    scene:\n      voxel_m: 0.2\n")
    assert Settings().replace(load_yaml(path)).scene.voxel_m == 0.2


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "!!python/object/apply:os.system ['true']\n"])
def test_bad_yaml_is_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_yaml(path)


def test_settings_do_not_change_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().scene.voxel_m = 1.0


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "scene: {max_points: " + "9" * 5000 + "}",
        "a: 1\n" * 400_000,
    ],
    ids=["nested", "long number", "large"],
)
def test_yaml_that_exhausts_a_parser_is_refused(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        load_yaml(path)


def test_a_yaml_value_that_unfolds_to_gigabytes_is_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join([*lines, "people: {min_score: *a39}"]))
    values = load_yaml(path)
    with pytest.raises(ConfigError, match=r"people\.min_score"):
        Settings().replace({"people.min_score": values["people.min_score"]})


def test_an_earlier_word_of_a_choice_is_still_read():
    made = Settings().replace({"odometry.source": "corners"})
    assert made.odometry.source == "features"
    assert "corners" not in Settings().spec("odometry.source").choices
