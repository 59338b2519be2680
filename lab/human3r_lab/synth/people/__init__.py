"""People of the synthetic world: bodies, clothes, motion."""

from human3r_lab.synth.people.cast import make_cast
from human3r_lab.synth.people.performer import Performer

__all__ = ["Performer", "make_cast"]
