"""Synthetic worlds, data sets, training and evaluation. The core never imports it."""
