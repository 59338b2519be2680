"""A private domain belongs to one process at a time."""

import subprocess
import sys

import pytest
from human3r_ros.commands import private_domain

from human3r.errors import DeviceError

ASK = (
    "from human3r_ros.commands import private_domain as p; "
    "print(p.private_environment()['ROS_DOMAIN_ID'])"
)


def test_a_domain_is_given_once_while_its_holder_lives(monkeypatch):
    number = int(private_domain.private_environment()["ROS_DOMAIN_ID"])
    monkeypatch.setattr(private_domain, "_CANDIDATES", range(number, number + 1))
    with pytest.raises(DeviceError, match="in use"):
        private_domain.private_environment()


def test_the_domain_of_an_ended_process_is_free_again(monkeypatch):
    asked = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, timeout=60
    )
    number = int(asked.stdout)
    monkeypatch.setattr(private_domain, "_CANDIDATES", range(number, number + 1))
    assert private_domain.private_environment()["ROS_DOMAIN_ID"] == str(number)
