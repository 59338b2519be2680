"""Processes of a demonstration: started, watched, stopped in order, never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from human3r.errors import Human3RError
from human3r_ros.parent import end_with_parent

_LAST_LINES = 15
_LAST_BYTES = 16_384
# Waiting compute threads sleep instead of spinning. Where processes share few cores, spinning
# threads keep those from running that they wait for: measured on two cores under load, 5.5 s per
# frame of the tiny network instead of 0.5 s.
_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}


class ChildFailedError(Human3RError):
    """A process of the demonstration ended when it should not have, or would not end."""


class Child:
    """One command in a process of its own, its output in a log file.

    Args:
        name: what it is, for messages.
        arguments: what follows ``human3r`` on the command line.
        log_file: takes its output.
        environment: added to this process's own.
        module: whose ``main`` is run instead of ``human3r``.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log_file: Path,
        environment: Mapping[str, str],
        module: str = "human3r.cli.main",
    ) -> None:
        self.name, self._log_file = name, log_file
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_DEFAULTS, **os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C reaches the whole group; the order of stopping is ours to decide.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self._process.poll() is not None

    def check_running(self) -> None:
        """Nothing, while it runs.

        Raises:
            ChildFailedError: it ended; the message holds its last words.
        """
        if self.has_ended:
            raise self._failed(f"the {self.name} ended unexpectedly, {self._how_it_ended()}")

    def check_success(self) -> None:
        """Nothing, when it ended well.

        Raises:
            ChildFailedError: it still runs or ended with an error.
        """
        if self._process.poll() != 0:
            raise self._failed(f"the {self.name} failed, {self._how_it_ended()}")

    def finish(self, timeout_s: float) -> None:
        """Ask it to end, as Ctrl-C would, and wait for it.

        Raises:
            ChildFailedError: it ended with an error or not in time.
        """
        self.check_running()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self._failed(
                f"the {self.name} did not end within {timeout_s:g} s of being asked"
            ) from error
        self.check_success()

    def kill(self, patience_s: float = 3.0) -> None:
        """End it whatever it takes; harmless when it is over."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.has_ended:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue

    def last_words(self) -> str:
        """The end of its log."""
        size = self._log_file.stat().st_size
        with self._log_file.open("rb") as log:
            log.seek(max(0, size - _LAST_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:]) or "    (nothing)"

    def _how_it_ended(self) -> str:
        code = self._process.poll()
        if code is None:
            return "still running"
        if code < 0:
            return f"by signal {-code} ({signal.Signals(-code).name})"
        return f"exit code {code}"

    def _failed(self, what: str) -> ChildFailedError:
        return ChildFailedError(
            f"{what}; expected it to do its part to the end. The last lines it wrote:\n"
            f"{self.last_words()}"
        )


def wait_until(condition, children: Sequence[Child], timeout_s: float, what: str) -> None:
    """Wait for ``condition()`` to hold while all ``children`` run.

    Raises:
        ChildFailedError: a child ended, or the time is over.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        for child in children:
            child.check_running()
        if time.monotonic() > deadline_s:
            words = "\n".join(f"  {child.name}:\n{child.last_words()}" for child in children)
            raise ChildFailedError(
                f"{what} did not happen within {timeout_s:g} s; expected it sooner. "
                f"The processes wrote last:\n{words}"
            )
        time.sleep(0.1)


def _main() -> int:
    """What runs in the child: the command, tied to the life of its parent."""
    parent_pid, module = int(sys.argv.pop(1)), sys.argv.pop(1)
    end_with_parent(signal.SIGKILL)
    if sys.platform == "linux" and os.getppid() != parent_pid:
        return 1
    return import_module(module).main()


if __name__ == "__main__":
    sys.exit(_main())
