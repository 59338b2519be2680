"""How many metres one unit of the network is: known, or measured while the stream runs."""

from human3r.scale.apply import resized
from human3r.scale.metric_scale import (
    MetricScale,
    ScaleReport,
    check_scale,
    check_without_node,
)
from human3r.scale.sources import ScaleSources

__all__ = [
    "MetricScale",
    "ScaleReport",
    "ScaleSources",
    "check_scale",
    "check_without_node",
    "resized",
]
