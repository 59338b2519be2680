"""Fixtures of the bridge's tests."""

import os

import human3r_bridge  # noqa: F401 - settles the client library before anything imports rclpy.
import pytest


@pytest.fixture(scope="module")
def bridge_domain():
    """Environment variables of a DDS domain of our own on the loopback interface, also set here."""
    from human3r_ros.commands.private_domain import private_environment

    with pytest.MonkeyPatch.context() as patch:
        environment = private_environment()
        for name, value in environment.items():
            patch.setenv(name, value)
        yield {**os.environ, **environment}
