"""The camera model: calibration messages, lens distortion."""
