"""The kinds of residuals of a refinement, each with its derivatives and where its formula is from.

A kind is a small frozen class: what it is given, and ``residuals(state)`` in standard deviations.
"""
