"""A command in a process of its own, with its output in a file."""

import signal
import subprocess
import time


class RunningProcess:
    """Started at once; its output can be read while it runs."""

    END_S = 20.0
    """It may take so long to end when asked to."""

    def __init__(self, command, log_file, environment):
        self._log = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, number=signal.SIGINT, timeout_s: float | None = None) -> float:
        """Seconds it took to end."""
        start_s = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(self.END_S if timeout_s is None else timeout_s)
        return time.monotonic() - start_s

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5.0)
