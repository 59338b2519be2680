"""How the commands speak: plain sentences on stderr."""

import logging


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        words = super().format(record)
        is_news = record.levelno <= logging.INFO
        return words if is_news else f"{record.levelname.lower()}: {words}"


def speak_plainly() -> None:
    """Show what this package's modules log as it is, without level and module name."""
    logger = logging.getLogger("human3r_ros")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Plain())
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
