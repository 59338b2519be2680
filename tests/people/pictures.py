"""The stored picture of a person and what the published graphs answer to it."""

from pathlib import Path

import numpy as np

ORIGINAL = np.load(Path(__file__).with_name("original_outputs.npz"))
PERSON = ORIGINAL["image"].repeat(2, 0).repeat(2, 1)
"""(256, 256, 3) RGB, uint8: the person and the room around."""
