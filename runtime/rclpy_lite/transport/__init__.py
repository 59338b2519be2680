"""How bytes travel: Cyclone DDS, and the configurations it runs with."""

from rclpy_lite.transport.environment import (
    default_configuration,
    domain_id_from_environment,
    loopback_environment,
)

__all__ = ["default_configuration", "domain_id_from_environment", "loopback_environment"]
