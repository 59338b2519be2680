"""Log lines as ROS 2 writes them, on stderr and on /rosout."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from os import environ
from typing import Any

_DEFAULT_FORMAT = "[{severity}] [{time}] [{name}]: {message}"
_COLOURS = {10: "32", 20: "0", 30: "33", 40: "31", 50: "35"}


class LoggingSeverity(IntEnum):
    """How important a line is."""

    UNSET = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    FATAL = 50


_levels: dict[str, LoggingSeverity] = {"": LoggingSeverity.INFO}
_sinks: dict[str, Callable[..., None]] = {}
_state_lock = threading.Lock()
_calls: dict[tuple[Any, ...], Any] = {}
_MAX_CALLS = 4096
_writing = threading.local()


def _to_level(value: Any) -> LoggingSeverity:
    if isinstance(value, str):
        name = "WARN" if value.upper() == "WARNING" else value.upper()
        if name not in LoggingSeverity.__members__:
            known = ", ".join(LoggingSeverity.__members__)
            raise RuntimeError(f"log level: got {value!r}; expected one of {known}.")
        return LoggingSeverity[name]
    return LoggingSeverity(value)


def apply_levels(levels: dict[str, str]) -> None:
    """Set levels from ``--log-level``; the empty name is the default."""
    for name, level in levels.items():
        set_logger_level(name, _to_level(level))


def set_logger_level(name: str, level: Any, detailed_error: bool = False) -> None:
    """Lowest severity that the logger and its children write."""
    _levels[name] = _to_level(level)


def get_logger_level(name: str) -> LoggingSeverity:
    """The level set for exactly this logger, or UNSET."""
    return _levels.get(name, LoggingSeverity.UNSET)


def get_logger_effective_level(name: str) -> LoggingSeverity:
    """The level that applies, inherited from parents where unset."""
    while name:
        level = _levels.get(name, LoggingSeverity.UNSET)
        if level:
            return level
        name = name.rpartition(".")[0]
    return _levels[""]


def add_sink(name: str, sink: Callable[..., None]) -> None:
    """Also give every line of logger ``name`` and its children to ``sink``."""
    _sinks[name] = sink


def remove_sink(name: str) -> None:
    """Undo `add_sink`."""
    _sinks.pop(name, None)


def get_logging_directory() -> str:
    """Where log files would go; rclpy_lite writes none."""
    from pathlib import Path

    home = environ.get("ROS_HOME") or str(Path.home() / ".ros")
    return environ.get("ROS_LOG_DIR") or str(Path(home) / "log")


def _write(severity: LoggingSeverity, name: str, message: str, stamp_ns: int, frame: Any) -> None:
    template = environ.get("RCUTILS_CONSOLE_OUTPUT_FORMAT", _DEFAULT_FORMAT)
    known = {
        "{severity}": severity.name,
        "{time}": f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}",
        "{time_as_nanoseconds}": str(stamp_ns),
        "{name}": name,
        "{file_name}": frame.f_code.co_filename,
        "{function_name}": frame.f_code.co_name,
        "{line_number}": str(frame.f_lineno),
    }
    line = template
    for token, text in known.items():
        line = line.replace(token, text)
    line = line.replace("{message}", message)
    stream = sys.stderr
    if stream is None:
        return
    wants_colour = environ.get("RCUTILS_COLORIZED_OUTPUT")
    if wants_colour == "1" or (wants_colour is None and stream.isatty()):
        line = f"\033[{_COLOURS[severity]}m{line}\033[0m"
    try:
        stream.write(line + "\n")
        stream.flush()
    except (OSError, ValueError):
        pass  # The reader is gone; that must not stop the node.


def _to_sinks(
    severity: LoggingSeverity, name: str, message: str, stamp_ns: int, frame: Any
) -> None:
    if getattr(_writing, "active", False):
        return  # A line caused by publishing a line would never end.
    _writing.active = True
    try:
        owner = name
        while owner:
            sink = _sinks.get(owner)
            if sink is not None:
                code = frame.f_code
                # Whatever is wrong with the network, a log line must not raise.
                with contextlib.suppress(Exception):
                    sink(
                        severity,
                        name,
                        message,
                        stamp_ns,
                        code.co_filename,
                        code.co_name,
                        frame.f_lineno,
                    )
                return
            owner = owner.rpartition(".")[0]
    finally:
        _writing.active = False


class RcutilsLogger:
    """A named logger."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def get_child(self, name: str) -> "RcutilsLogger":
        """A logger below this one."""
        if not name:
            raise ValueError("Child logger name must not be empty.")
        return get_logger(f"{self.name}.{name}" if self.name else name)

    def set_level(self, level: Any) -> None:
        """Lowest severity to write."""
        set_logger_level(self.name, level)

    def get_effective_level(self) -> LoggingSeverity:
        """Lowest severity that is written."""
        return get_logger_effective_level(self.name)

    def is_enabled_for(self, severity: Any) -> bool:
        """True when such a line would be written."""
        return _to_level(severity) >= self.get_effective_level()

    def log(self, message: Any, severity: Any, **options: Any) -> bool:
        """Write one line; True when it was written.

        Args:
            message: anything; ``str`` is applied.
            severity: a LoggingSeverity.
            options: ``once``, ``skip_first``, ``throttle_duration_sec`` and
                ``throttle_time_source_type`` (a clock), counted per calling line.
        """
        return self._log(message, severity, options, sys._getframe(1))

    def _log(self, message: Any, severity: Any, options: dict[str, Any], frame: Any) -> bool:
        severity = _to_level(severity)
        unknown = set(options) - {
            "once",
            "skip_first",
            "throttle_duration_sec",
            "throttle_time_source_type",
            "name",
        }
        if unknown:
            raise TypeError(f"log options: got {sorted(unknown)}; they are unknown.")
        if not self.is_enabled_for(severity):
            return False
        if options and not self._may_log(options, frame):
            return False
        stamp_ns = time.time_ns()
        name = options.get("name", self.name)
        _write(severity, name, str(message), stamp_ns, frame)
        _to_sinks(severity, name, str(message), stamp_ns, frame)
        return True

    def _may_log(self, options: dict[str, Any], frame: Any) -> bool:
        where = (self.name, frame.f_code.co_filename, frame.f_lineno)
        with _state_lock:
            if len(_calls) > _MAX_CALLS:
                _calls.clear()
            seen = _calls.setdefault(where, {"count": 0, "last_ns": None})
            seen["count"] += 1
            if options.get("skip_first") and seen["count"] == 1:
                return False
            first = 2 if options.get("skip_first") else 1
            if options.get("once") and seen["count"] > first:
                return False
            period_s = options.get("throttle_duration_sec")
            if period_s:
                clock = options.get("throttle_time_source_type")
                now_ns = clock.now().nanoseconds if clock is not None else time.monotonic_ns()
                last_ns = seen["last_ns"]
                if last_ns is not None and 0 <= now_ns - last_ns < period_s * 1e9:
                    return False
                seen["last_ns"] = now_ns
            return True

    def debug(self, message: Any, **options: Any) -> bool:
        """Log with severity DEBUG."""
        return self._log(message, LoggingSeverity.DEBUG, options, sys._getframe(1))

    def info(self, message: Any, **options: Any) -> bool:
        """Log with severity INFO."""
        return self._log(message, LoggingSeverity.INFO, options, sys._getframe(1))

    def warning(self, message: Any, **options: Any) -> bool:
        """Log with severity WARN."""
        return self._log(message, LoggingSeverity.WARN, options, sys._getframe(1))

    warn = warning

    def error(self, message: Any, **options: Any) -> bool:
        """Log with severity ERROR."""
        return self._log(message, LoggingSeverity.ERROR, options, sys._getframe(1))

    def fatal(self, message: Any, **options: Any) -> bool:
        """Log with severity FATAL."""
        return self._log(message, LoggingSeverity.FATAL, options, sys._getframe(1))


_loggers: dict[str, RcutilsLogger] = {}


def get_logger(name: str) -> RcutilsLogger:
    """The logger of that name."""
    if not name:
        raise ValueError("Logger name must not be empty.")
    return _loggers.setdefault(name, RcutilsLogger(name))
