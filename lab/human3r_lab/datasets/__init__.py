"""Sequences with known truth: what training learns from and evaluation compares with."""

from human3r_lab.datasets.sample import PeopleTruth, ViewTruth
from human3r_lab.datasets.sequence_file import SequenceFile, open_folder, write_sequence

__all__ = ["PeopleTruth", "SequenceFile", "ViewTruth", "open_folder", "write_sequence"]
