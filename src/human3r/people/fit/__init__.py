"""Bodies fitted to landmarks: kinematics, prior, Gauss-Newton, and what is kept per track."""
