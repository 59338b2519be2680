import sys
from pathlib import Path

import pytest
from human3r_bridge import formats, message_packages
from human3r_bridge.parameters import OUTPUTS, BridgeSettings
from human3r_ros.parameters import render_file

from human3r.config import FramesSettings
from human3r.errors import ConfigError
from human3r.setting import load_yaml

PACKAGE = Path(__file__).resolve().parents[1]


def test_by_default_there_are_markers_in_the_nodes_level_frame():
    settings = BridgeSettings().replace({})
    assert settings.outputs == ("markers",)
    assert settings.people_frame == settings.frames.level == FramesSettings().level


def test_the_people_frame_follows_the_level_frame_unless_given():
    assert BridgeSettings().replace({"frames.level": "slam"}).people_frame == "slam"
    assert BridgeSettings().replace({"people.frame": "map"}).people_frame == "map"


def test_every_format_can_be_made():
    assert set(formats._FORMATS) == set(OUTPUTS)
    for name, (packages, _) in formats._FORMATS.items():
        message_packages.require(packages, name)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"outputs": ["marker"]}, "mesh_markers"),
        ({"outputs": []}, "at least one"),
        ({"outputs": "markers"}, "expected a list"),
        ({"output": ["hri"]}, "did you mean outputs"),
        ({"hri.linger": 2.0}, "did you mean hri.linger_s"),
        ({"hri.linger_s": float("nan")}, "finite"),
        ({"hri.linger_s": -1.0}, "expected 0"),
        ({"hri.faces": "yes"}, "expected bool"),
        ({"frames.level": ""}, "frames.level"),
        ({"people.frame": "/map"}, "without leading slash"),
        ({"people.frame": "a b"}, "without blanks"),
        ({"input.transport": "theora"}, "raw, compressed"),
    ],
)
def test_wrong_values_are_refused_with_advice(given, says):
    with pytest.raises(ConfigError, match=says):
        BridgeSettings().replace(given)


@pytest.mark.parametrize(
    ("output", "package"),
    [("hri", "hri_msgs"), ("people", "people_msgs"), ("vision", "vision_msgs")],
)
def test_a_missing_message_package_is_named_with_what_to_install(output, package, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    # None in sys.modules is how Python itself says that an import fails.
    monkeypatch.setitem(sys.modules, f"{package}.msg", None)
    settings = BridgeSettings().replace({"outputs": [output, "markers"]})
    with pytest.raises(ConfigError) as refused:
        formats.make_outputs(None, settings, lambda kind, text: None)
    apt = f"ros-jazzy-{package.replace('_', '-')}"
    assert f"sudo apt install {apt}" in str(refused.value)
    assert f"take {output} out" in str(refused.value)


def test_the_parameter_file_is_the_generated_one_and_holds_the_defaults():
    file = PACKAGE / "config" / "human3r_bridge.yaml"
    assert file.read_text() == render_file(BridgeSettings(), "human3r_bridge.parameters"), (
        "run: python -m human3r_bridge.parameters > config/..."
    )
    assert load_yaml(file) == {**BridgeSettings().flat(), "outputs": ["markers"]}
