"""How bytes travel: Cyclone DDS, and the configurations it runs with."""

from rclpy_lite.transport.environment import (
    domain_id_from_environment,
    loopback_environment,
    participant_configuration,
)

__all__ = ["domain_id_from_environment", "loopback_environment", "participant_configuration"]
