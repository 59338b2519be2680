"""The Human3R network: tokens, recurrent state, heads, and its weights."""
