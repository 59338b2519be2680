"""Limbs over time: feet that stand stay, and bodies move as people can."""
