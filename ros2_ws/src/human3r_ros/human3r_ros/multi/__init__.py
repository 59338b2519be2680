"""The node ``human3r_multi``: people of several nodes in one world, one id per person."""
