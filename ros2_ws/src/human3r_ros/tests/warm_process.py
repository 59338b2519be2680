"""Node processes that begin with everything loaded, forked from one that has loaded it once.

Loading PyTorch and the node's own modules takes about half of the time in which a node starts.
What is tested of a node that runs does not depend on it; what is tested of its start does, and
takes a ``subprocess.Popen``.

Run as a module this is the process to fork from. It has one thread, so that nothing is left halfway
in what comes of it. It reads requests as JSON, one a line, and answers each by a line.
"""

import atexit
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback

from human3r_ros.ros_api import is_lite

from ros2_ws.src.human3r_ros.tests.running_process import start_fresh

_LOADED = (
    *("human3r_ros.commands.live", "human3r_ros.process", "human3r_ros.processor"),
    *("human3r.pipeline", "human3r.model.network", "human3r.body.smplx", "safetensors.torch"),
)
_servers = {}


def start_warm(command, log, environment):
    """As ``subprocess.Popen`` starts ``python -m MODULE ARGUMENTS``; that, where there is no fork.

    Args:
        command: whose ``main(ARGUMENTS)`` is called.
        log: the open file that takes what it writes.
        environment: all of its variables.
    """
    if not (is_lite() and hasattr(os, "pidfd_open")):
        return start_fresh(command, log, environment)
    return WarmProcess(command, log, environment)


class WarmProcess:
    """A process that was forked, with what tests use of a ``subprocess.Popen``."""

    def __init__(self, command, log, environment):
        self.args = command
        self.returncode = None
        # Read while PyTorch is loaded, so each number has a process of its own to fork from.
        threads = environment.get("OMP_NUM_THREADS")
        if threads not in _servers:
            _servers[threads] = _Server(environment)
        self._server = _servers[threads]
        _, _, module, *arguments = map(str, command)
        self.pid = self._server.ask(
            module=module, arguments=arguments, log=log.name, environment=dict(environment)
        )
        self._ended = os.pidfd_open(self.pid)

    def poll(self):
        """The exit code, negative for a signal; None while it runs."""
        return self._look(0.0)

    def wait(self, timeout=None):
        if self._look(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            signal.pidfd_send_signal(self._ended, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout_s):
        if self.returncode is None and select.select([self._ended], [], [], timeout_s)[0]:
            self.returncode = self._server.ask(ended=self.pid)
            os.close(self._ended)
        return self.returncode


class _Server:
    def __init__(self, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], env=dict(environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        atexit.register(self._close)

    def ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def _close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


def _serve():
    for module in _LOADED:
        importlib.import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would leave threads behind"
    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            _, status = os.waitpid(request["ended"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _become(**request)
        print(pid, flush=True)


def _become(module, arguments, log, environment):
    """The process that was asked for; does not return."""
    code = 1
    try:
        nothing, written = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
        for source, target in ((nothing, 0), (written, 1), (written, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(written)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [module, *arguments]
        sys.stdout.reconfigure(line_buffering=True)
        code = importlib.import_module(module).main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    _serve()
