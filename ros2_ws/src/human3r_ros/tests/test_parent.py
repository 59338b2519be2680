"""Processes that must not outlive the one that started them."""

import os
import signal
import subprocess
import sys
import time

import pytest
from human3r_ros import parent

from ros2_ws.src.human3r_ros.tests.running_process import wait_until

CHILD = """
import time
from human3r_ros import parent
parent.end_with_launch()
print("up", flush=True)
time.sleep(60)
"""
LAUNCH = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal is Linux's")
@pytest.mark.parametrize("launched", [True, False])
def test_a_process_of_a_launch_ends_when_the_launch_is_killed_and_no_other_does(launched):
    environment = {**os.environ, parent.LAUNCHED: "1" if launched else ""}
    launch = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, CHILD], env=environment, stdout=subprocess.PIPE, text=True
    )
    child = int(launch.stdout.readline())
    try:
        assert launch.stdout.readline() == "up\n"
        launch.kill()
        launch.wait(10)
        if launched:
            wait_until(lambda: not is_running(child), 10, "the end of the child")
        else:
            time.sleep(0.5)
            assert is_running(child)
    finally:
        launch.stdout.close()
        if is_running(child):
            os.kill(child, signal.SIGKILL)


def is_running(pid):
    """Whether it lives; a process that nobody has waited for yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
