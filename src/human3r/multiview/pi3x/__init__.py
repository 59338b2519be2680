"""Pi3X: many images of one place to points, cameras and metres, in one pass and in any order.

The network is written from its published description (permutation-equivariant geometry, arXiv
2507.13347, and the table of its tensors); it comes without weights. Published weights are for
non-commercial use (CC BY-NC 4.0): who has them can load them with ``load_pi3x``. The way in is
``scene_from_images``. What the description leaves open is said where it is decided.
"""
