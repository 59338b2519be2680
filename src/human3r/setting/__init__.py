"""The settings engine: declare a setting once, read it from files, flags and ROS parameters.

It knows no setting by name: ``human3r.config`` declares those of human3r, other packages theirs.
"""

from human3r.setting.declaration import (
    Declared,
    SettingSpec,
    TextForm,
    Value,
    as_text,
    describe_effect,
    describe_range,
    setting,
)
from human3r.setting.options import (
    add_setting_flag,
    add_settings_options,
    given_values,
    settings_from,
    warnings_without_effect,
)
from human3r.setting.parser import CommandParser
from human3r.setting.yaml_file import dump_yaml, load_yaml

__all__ = [
    "CommandParser",
    "Declared",
    "SettingSpec",
    "TextForm",
    "Value",
    "add_setting_flag",
    "add_settings_options",
    "as_text",
    "describe_effect",
    "describe_range",
    "dump_yaml",
    "given_values",
    "load_yaml",
    "setting",
    "settings_from",
    "warnings_without_effect",
]
