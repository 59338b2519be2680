"""What the doctor says of a running node, from what was seen of it."""

import pytest

from human3r.cli import doctor
from human3r.cli.doctor_check import FAIL, NOTE, OK
from human3r.cli.main import main
from tests.before_torch import modules_with_torch

graph_view = pytest.importorskip(
    "human3r_ros.commands.graph_view", reason="no ROS part is installed"
)
checks_of = pytest.importorskip("human3r_ros.commands.doctor").checks_of
NODE = "/human3r"


def part(level=0, message="OK", **values):
    return graph_view.PartView(level, message, values)


def topic(name, is_output=True, others=("/rviz",), mismatches=(), rate_hz=None, definitions=()):
    return graph_view.TopicView(name, is_output, others, mismatches, rate_hz, definitions)


IMAGE = topic("/image", False, ("/camera",))


def view(**changes):
    values = {
        "target": NODE,
        "is_there": True,
        "node_names": [NODE],
        "state": "active",
        "parts": {"input": part(rate_hz="10.0"), "inference": part(state="active")},
        "topics": [IMAGE, topic("/human3r/humans", rate_hz=9.96)],
        "last_frame": "processed",
        "image_topics": ["/image"],
    }
    return graph_view.GraphView(**{**values, **changes})


def checks(**changes):
    return list(checks_of(view(**changes)))


def of(part_name, **changes):
    return [check for check in checks(**changes) if check.part == part_name]


def test_a_node_that_is_well_has_no_advice():
    found = checks()
    assert {check.state for check in found} == {OK}
    assert not any(check.advice for check in found)
    assert [check.seen for check in found if check.part == "node"] == ["/human3r is active"]
    (humans,) = of("/human3r/humans")
    assert humans.seen == "read by /rviz, 10.0 messages per second"


def test_a_node_that_is_not_there_is_looked_for_where_others_are(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    (check,) = checks(is_there=False, node_names=["/camera"])
    assert check.state == FAIL
    assert "no node /human3r in DDS domain 7; there is /camera" in check.seen
    assert "ROS_DOMAIN_ID" in check.advice


@pytest.mark.parametrize(
    ("state", "advice"),
    [("unconfigured", "set /human3r configure"), ("inactive", "set /human3r activate")],
)
def test_a_node_that_waits_is_told_what_to_do_next(state, advice):
    (check,) = of("node", state=state)
    assert (check.state, check.seen) == (NOTE, f"/human3r is {state}")
    assert advice in check.advice


def test_the_last_failure_comes_first():
    failed = {"inference": part(2, "unconfigured: no file", state="unconfigured",
                                last_failure="no file")}  # fmt: skip
    check = checks(state="unconfigured", parts=failed)[0]
    assert (check.state, check.seen) == (FAIL, "/human3r is unconfigured after: no file")


def test_without_services_the_state_is_that_of_the_diagnostics():
    (check,) = of("node", state="")
    assert check.state == OK
    assert "/human3r is active; its services do not answer here" in check.seen
    (check,) = of("node", state="", parts={})
    assert check.state == FAIL
    assert of("diagnostics", parts={})[0].state == NOTE


@pytest.mark.parametrize(("level", "state"), [(0, OK), (1, NOTE), (2, FAIL), (3, FAIL)])
def test_every_part_of_the_diagnostics_is_a_line(level, state):
    found = {"input": part(level, "no image", rate_hz="unknown", resolution="640x480", frame_id="")}
    (check,) = of("input", parts=found)
    assert (check.state, check.seen) == (state, "no image (resolution 640x480)")


@pytest.mark.parametrize(
    ("is_output", "reason", "override"),
    [
        (True, "Volatile publisher and transient local", "/x.publisher.durability"),
        (False, "Best effort publisher and reliable", "/x.subscription.reliability"),
    ],
)
def test_a_mismatch_of_qos_names_the_override(is_output, reason, override):
    wrong = topic("/x", is_output, mismatches=[f"/other: {reason} subscription"])
    found = of("/x", topics=[IMAGE, wrong])
    assert [check.state for check in found] == [OK, FAIL]
    assert "exchanges nothing with /other" in found[1].seen
    assert f"qos_overrides.{override}" in found[1].advice


def test_another_definition_is_no_matter_of_qos():
    wrong = topic("/x", definitions=["/old has another definition of a/msg/B. Build both anew."])
    (_, check) = of("/x", topics=[IMAGE, wrong])
    assert (check.state, check.seen) == (FAIL, wrong.other_definitions[0])
    assert "qos_overrides" not in check.seen + check.advice


def test_outputs_that_nobody_reads_share_a_line():
    lonely = [topic(f"/human3r/{name}", others=()) for name in ("points", "meshes")]
    (check,) = of("not read", topics=[IMAGE, *lonely])
    assert (check.state, check.seen) == (OK, "/human3r/points, /human3r/meshes")
    assert not of("/human3r/points", topics=[IMAGE, *lonely])


def test_images_on_another_topic_are_pointed_out():
    silent = topic("/image", False, ())
    (check,) = of("image topic", topics=[silent], image_topics=["/front/image_raw"])
    assert check.state == FAIL
    assert "there are images on /front/image_raw" in check.seen
    assert "--image /front/image_raw, or" in check.advice
    (check,) = of("image topic", topics=[silent], image_topics=["/front/image_raw/compressed"])
    assert "--image /front/image_raw --compressed" in check.advice
    assert not of("image topic", topics=[silent], image_topics=[])
    assert not of("image topic", image_topics=["/front/image_raw"])


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({}, 0, "All is well."),
        ({"state": "inactive"}, 0, "It works; see the notes on node."),
        ({"is_there": False}, 1, "Not well: node."),
    ],
)
def test_the_command_ends_with_the_verdict(monkeypatch, capsys, changes, code, words):
    asked = []

    def look(target, watch_s):
        asked.append(target)
        return view(**changes)

    monkeypatch.setattr("human3r_ros.commands.doctor.look", look)
    assert main(["doctor", "--graph"]) == code
    assert words in capsys.readouterr().out
    main(["doctor", "--graph", "robot/human3r"])
    assert asked == ["/human3r", "/robot/human3r"]


def test_the_machine_is_not_looked_at_with_a_node(monkeypatch):
    monkeypatch.setattr("human3r_ros.commands.doctor.look", lambda target, watch_s: view())
    monkeypatch.setattr(doctor, "all_checks", lambda *args, **kwargs: pytest.fail("looked at"))
    assert main(["doctor", "--graph"]) == 0


LIGHT = ["graph_view", "doctor", "play", "record", "layout_check"]


@pytest.fixture(scope="module")
def with_torch():
    return modules_with_torch(*(f"human3r_ros.commands.{module}" for module in LIGHT))


@pytest.mark.parametrize("module", LIGHT)
def test_commands_that_only_look_or_play_load_no_torch(module, with_torch):
    assert not with_torch[f"human3r_ros.commands.{module}"]
