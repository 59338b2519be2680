"""The settings engine, on settings that nobody else has."""

import argparse
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from human3r import config
from human3r.config import BAG, EVALUATE, NODE, RUN, Settings
from human3r.errors import ConfigError
from human3r.setting import (
    Declared,
    TextForm,
    add_setting_flag,
    add_settings_options,
    as_text,
    dump_yaml,
    given_values,
    load_yaml,
    setting,
    settings_from,
)

LOWER = TextForm("word", "lower-case letters", str.islower)


@dataclass(frozen=True)
class Oven:
    heat_c: float = setting(180.0, "How hot.", unit="deg", low=50, high=250.5, only=("bakery",))
    fan: bool = setting(False, "Hot air.", when=("mode", ("bake", "roast")))
    minutes: int = setting(10, "How long.", low=0, high=90, live=True)


@dataclass(frozen=True)
class Kitchen(Declared):
    OWNER: ClassVar[str] = "kitchen"

    mode: str = setting("bake", "What is done.", choices=("bake", "roast", "off"))
    cooks: tuple[str, ...] = setting(("ann",), "Who is there.", choices=("ann", "bob", "eve"))
    oven: Oven = field(default_factory=Oven)
    name: str = setting("", "What it is called.", form=LOWER)

    def _check_together(self):
        if self.mode == "off" and self.oven.fan:
            raise ConfigError("oven.fan is on with mode off.")


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_settings_options(parser, aliases=["--params"])
    for flag, name in (("--minutes", "oven.minutes"), ("--fan", "oven.fan"), ("--mode", "mode")):
        add_setting_flag(parser, flag, Kitchen.spec(name), None)
    return parser.parse_args(arguments)


def flags_of(args):
    return {name: getattr(args, name) for name in ("oven.minutes", "oven.fan", "mode")}


def values(**by_name):
    return {name.replace("__", "."): value for name, value in by_name.items()}


kitchens = st.builds(
    values,
    mode=st.sampled_from(["bake", "roast"]),
    cooks=st.lists(st.sampled_from(["ann", "bob", "eve"]), min_size=1, unique=True),
    oven__heat_c=st.floats(50, 250.5),
    oven__fan=st.booleans(),
    oven__minutes=st.integers(0, 90),
    name=st.sampled_from(["", "null", "yes", "off"]),
).map(Kitchen().replace)


@settings(max_examples=30, deadline=None)
@given(kitchens)
def test_text_yaml_and_values_say_the_same(tmp_path_factory, kitchen):
    path = tmp_path_factory.mktemp("kitchen") / "k.yaml"
    path.write_text(dump_yaml(kitchen, with_help=True))
    assert Kitchen().replace(load_yaml(path)) == kitchen
    for name, value in kitchen.flat().items():
        assert Kitchen.spec(name).parse(as_text(value)) == value


def test_file_then_assignment_then_flag(tmp_path):
    path = tmp_path / "k.yaml"
    path.write_text("oven: {minutes: 20, heat_c: 100}\nmode: roast\ncooks: [bob]\n")
    args = parse("--params", str(path), "--set", "oven.minutes=30", "--set", "cooks=[eve, bob,eve]")
    kitchen = settings_from(args, Kitchen(), flags=flags_of(args))
    assert (kitchen.oven.minutes, kitchen.oven.heat_c, kitchen.mode) == (30, 100.0, "roast")
    assert kitchen.cooks == ("eve", "bob")
    args = parse("--settings", str(path), "--set", "oven.minutes=30", "--minutes", "40", "--fan")
    kitchen = settings_from(args, Kitchen(), flags=flags_of(args))
    assert (kitchen.oven.minutes, kitchen.oven.fan) == (40, True)
    default = Kitchen().replace({"oven.minutes": 50})
    args = parse("--set", "oven.minutes=10")
    assert settings_from(parse(), default).oven.minutes == 50
    assert settings_from(args, default).oven.minutes == 10, "given wins, also where it is usual"


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("oven.minute=3", "no setting of kitchen; did you mean oven.minutes?"),
        ("xyz=3", "no setting of kitchen; the known ones are mode, cooks, oven.heat_c"),
        ("oven.minutes", "expected NAME=VALUE"),
        ("oven.minutes=3.5", "oven.minutes: expected int, got '3.5'"),
        ("oven.minutes=91", "oven.minutes is 91; expected 0 to 90"),
        ("oven.heat_c=20", "oven.heat_c is 20.0 deg; expected 50 to 250.5"),
        ("oven.heat_c=nan", "expected a finite number"),
        ("oven.fan=maybe", "oven.fan: expected bool"),
        ("mode=fry", "mode is 'fry'; expected one of bake, roast, off"),
        ("cooks=ann,tom", "expected a list of at least one of ann, bob, eve"),
        ("cooks=[]", "expected a list of at least one of ann, bob, eve"),
        ("name=Loud", "name is 'Loud'; expected lower-case letters, or nothing"),
    ],
)
def test_a_wrong_assignment_is_refused_by_name_with_advice(assignment, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        settings_from(parse("--set", assignment), Kitchen())


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match="fan is on with mode off"):
        Kitchen().replace({"mode": "off", "oven.fan": True})


def test_names_of_somebody_else_pass_unchecked():
    args = parse("--set", "use_sim_time=true", "--set", "qos./image.depth=3", "--set", "mode=off")
    found = given_values(args, Kitchen, foreign=("use_sim_time", "qos."))
    assert found == {"use_sim_time": True, "qos./image.depth": 3, "mode": "off"}


@pytest.mark.parametrize(
    ("arguments", "places", "says"),
    [
        (["oven.heat_c=90"], ["house"], "oven.heat_c has no effect in house, only in bakery."),
        (["oven.heat_c=90"], ["house", "bakery"], ""),
        (["oven.heat_c=180"], ["house"], ""),
        (["oven.heat_c=90"], [], ""),
        (["oven.fan=yes", "mode=roast"], ["house"], ""),
    ],
)
def test_a_setting_without_effect_is_said_with_where_it_has_one(arguments, places, says, caplog):
    words = [word for text in arguments for word in ("--set", text)]
    with caplog.at_level(logging.WARNING):
        settings_from(parse(*words), Kitchen(), places=places)
    assert caplog.messages == ([says] if says else [])


def test_several_settings_without_effect_share_a_sentence(caplog):
    args = [
        "tf.mode=odometry",
        "input.transport=compressed",
        "tf.future_offset_s=0.2",
        "map.voxel_m=0.1",
    ]
    words = [word for text in args for word in ("--set", text)]
    with caplog.at_level(logging.WARNING):
        settings_from(parse(*words), Settings(), places=(RUN,))
    assert caplog.messages == [
        "tf.mode, input.transport, tf.future_offset_s have no effect in `human3r run`, only in the "
        "node.",
        "map.voxel_m has no effect in `human3r run`, only in the node and `human3r run --save "
        "bag`.",
    ]
    caplog.clear()
    settings_from(parse(*words), Settings(), places=(NODE,))
    assert caplog.messages == [
        "tf.future_offset_s has no effect with tf.mode odometry, only with tf.mode anchored."
    ]


def test_of_a_parameter_file_for_several_nodes_ours_is_taken(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        "/**: {ros__parameters: {mode: roast, oven: {minutes: 1}}}\n"
        "driver: {ros__parameters: {rate: 3}}\n"
        "/robot/kitchen: {ros__parameters: {oven.minutes: 2, name: }}\n"
    )
    assert load_yaml(path, "kitchen") == {"mode": "roast", "oven.minutes": 2}
    path.write_text("a: {ros__parameters: {x: 1}}\nb: {ros__parameters: {x: 1}}\n")
    with pytest.raises(ConfigError, match=r"parameters of a, b; expected those of kitchen"):
        load_yaml(path, "kitchen")


def test_a_section_of_which_all_is_commented_out_is_empty(tmp_path):
    path = tmp_path / "k.yaml"
    path.write_text("oven:\n  # minutes: 3\nmode: roast\n")
    assert load_yaml(path) == {"mode": "roast"}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {b: *a}\n",
        "\n".join(
            [
                "a0: &a0 {}",
                *(f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(20))}}}"
                  for i in range(1, 8)),
            ]
        ),
    ],
    ids=["endless", "unfolding"],
)  # fmt: skip
def test_mappings_that_unfold_without_end_are_refused(tmp_path, text):
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bomb\.yaml: more than"):
        load_yaml(path)


def test_where_a_setting_is_said_to_have_an_effect_is_where_the_code_reads_it():
    core = Path(config.__file__).parent
    text = "\n".join(p.read_text() for p in core.rglob("*.py") if p.name != "config.py")
    named = set(re.findall(r"(?=\b(\w+\.\w+))", text))
    read = set(re.findall(r"\.(\w+)", text))
    # In messages, or where there is no wall clock to compare with.
    named_without_effect = {"frames.base", "frames.anchor", "model.warmup_frames"}
    named_without_effect |= {"input.max_age_s", "map.radius_m"}
    of_laboratory = {"odometry.position_stddev_m", "odometry.rotation_stddev_rad"}
    for name, spec in Settings.specs().items():
        assert set(spec.only) <= {NODE, RUN, BAG, EVALUATE}
        if not spec.only or RUN in spec.only:
            assert name.partition(".")[2] in read, f"{name}: the core does not read it, say only="
        elif name not in named_without_effect | of_laboratory:
            assert name not in named, f"{name}: the core reads it, not only {spec.only}"
        if spec.when:
            other, wanted = spec.when
            for value in wanted:
                Settings.spec(other).check(value)


@pytest.mark.parametrize("name", ["scene.voxel_m", "people.max_count"])
@pytest.mark.parametrize("digits", [400, 4000])
def test_numbers_of_hundreds_of_digits_are_refused_briefly(tmp_path, name, digits):
    section, key = name.split(".")
    (tmp_path / "s.yaml").write_text(f"{section}:\n  {key}: {'9' * digits}\n")
    with pytest.raises(ConfigError, match=name) as refused:
        Settings().replace(load_yaml(tmp_path / "s.yaml"))
    assert len(str(refused.value)) < 200
