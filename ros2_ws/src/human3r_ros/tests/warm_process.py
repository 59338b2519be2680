"""Node processes that begin with everything loaded, see ``tests.warm_process``."""

from human3r_ros.ros_api import is_lite

from tests import warm_process

_LOADED = (
    *("human3r_ros.commands.live", "human3r_ros.process", "human3r_ros.processor"),
    *warm_process.LOADED,
)


def start_warm(command, log, environment):
    """As ``subprocess.Popen`` starts ``python -m MODULE ARGUMENTS``; that, where there is no fork.

    Args:
        command: whose ``main(ARGUMENTS)`` is called.
        log: the open file that takes what it writes.
        environment: all of its variables.
    """
    if not is_lite():
        return warm_process.start_fresh(command, log, environment)
    return warm_process.start_warm(command, log, environment, _LOADED)
