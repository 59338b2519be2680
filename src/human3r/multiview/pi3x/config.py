"""Sizes of the network."""

from dataclasses import dataclass

from human3r.errors import ConfigError

PATCH_PX = 14


@dataclass(frozen=True)
class Pi3XConfig:
    """The defaults are those of the published network.

    Raises:
        ConfigError: sizes that do not go together.
    """

    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    encoder_registers: int = 4
    decoder_width: int = 1024
    decoder_depth: int = 36
    """Even blocks look inside each image, odd ones at all images."""
    decoder_heads: int = 16
    registers: int = 5
    """Learnt tokens before the patches of every image."""
    head_depth: int = 5
    """Blocks of the decoders of points, confidence and camera, and of the metric decoder."""
    camera_width: int = 512
    metric_width: int = 512
    metric_heads: int = 8
    head_widths: tuple[int, int, int] = (256, 128, 64)
    """Channels after each of the three doublings of a convolution head."""
    output_width: int = 32
    rope_base: float = 100.0
    layer_scale: float = 0.01
    """At the start of training."""
    use_multimodal: bool = True
    """Whether known depth, rays and poses can be given."""
    pose_after: tuple[int, ...] = (1, 9, 17, 25, 33)
    """Decoder blocks after which known poses enter."""

    def __post_init__(self) -> None:
        even = self.decoder_depth % 2 == 0 and self.decoder_depth >= 2
        shared = self.encoder_width == self.decoder_width
        heads = self.decoder_width % (8 * self.decoder_heads) == 0
        places = all(0 <= i < self.decoder_depth for i in self.pose_after)
        if not (even and shared and heads and places):
            raise ConfigError(
                f"{self}: expected an even decoder_depth, encoder and decoder of one width that 8 "
                "times decoder_heads divides, and pose_after below decoder_depth. Correct them."
            )
