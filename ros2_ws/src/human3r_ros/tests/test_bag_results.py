"""What ``human3r run --save bag`` refuses; what it writes is tested with the command."""

from types import SimpleNamespace

import pytest
from human3r_ros.bag_results import BagResults

from human3r.config import Settings
from human3r.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames.level", ""),
        ("frames.level", "/odom"),
        ("frames.base", "a b"),
        ("level.source", "tf"),
        ("people.id_prefix", "a b/c"),
        ("people.id_prefix", ""),
    ],
)
def test_a_bag_refuses_the_settings_that_the_node_refuses(tmp_path, name, value):
    # The settings are looked at before anything else of the pipeline is.
    pipeline = SimpleNamespace(settings=Settings().replace({name: value}))
    with pytest.raises(ConfigError, match=name):
        BagResults(tmp_path / "bag", pipeline)
    assert list(tmp_path.iterdir()) == []
