"""A stream of frames through the network: preparation, recurrent state, session."""
