"""What ``human3r run --save bag`` refuses; what it writes is tested with the command."""

from types import SimpleNamespace

import pytest
from human3r_ros.bag_results import BagResults

from human3r.config import Settings
from human3r.errors import ConfigError


def test_a_bag_refuses_to_level_by_tf_that_nobody_reads(tmp_path):
    # The settings are looked at before anything else of the pipeline is.
    pipeline = SimpleNamespace(settings=Settings().replace({"level.source": "tf"}))
    with pytest.raises(ConfigError, match=r"level\.source is tf"):
        BagResults(tmp_path / "bag", pipeline)
    assert list(tmp_path.iterdir()) == []
