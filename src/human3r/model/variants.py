"""Which networks exist: one architecture, configured by ``NetworkConfig``."""

from dataclasses import dataclass

from human3r.errors import ConfigError

DINO_SIZES = {
    # name: (width, depth, heads)
    "dinov2_vits14": (384, 12, 6),
    "dinov2_vitb14": (768, 12, 12),
    "dinov2_vitl14": (1024, 24, 16),
    "dinov2_mini14": (192, 4, 3),
}
"""DINOv2 variants by name: width, depth, heads. ``dinov2_mini14`` is this project's own."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of one Human3R network. Defaults are those of the published checkpoints."""

    human_size_px: int
    """Side of the square image of the human branch, a multiple of 14 (R in the paper)."""
    dino: str = "dinov2_vits14"
    """Key of ``DINO_SIZES``: the human branch's encoder."""
    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    decoder_width: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    """Heads of the image stream."""
    state_heads: int = 16
    """Heads of the state stream."""
    state_tokens: int = 768
    memory_slots: int = 256
    memory_blocks: int = 2
    """Blocks that read the pose memory, and as many that write it."""
    input_size_px: int = 512
    """Long side of the image the weights were made for."""

    patch_px: int = 16
    ray_map_depth: int = 2
    ray_map_heads: int = 16
    rope_base: float = 100.0
    dpt_channels: int = 96
    """Channels of a DPT head's finest level; each coarser one has twice as many."""
    dpt_width: int = 256
    """Channels in which a DPT head joins its levels."""
    dpt_last: int = 128
    """Channels of a DPT head at full size."""
    human_head_ratio: int = 4
    """Hidden width of the heads that make prompts and people, in input widths."""

    def __post_init__(self) -> None:
        if self.dino not in DINO_SIZES:
            raise ConfigError(f"dino is {self.dino!r}; expected one of {', '.join(DINO_SIZES)}.")
        for width, heads, what in (
            (self.encoder_width, self.encoder_heads, "encoder"),
            (self.decoder_width, self.decoder_heads, "decoder"),
            (self.decoder_width, self.state_heads, "state stream"),
        ):
            if heads < 1 or width < 1 or width % (4 * heads):
                raise ConfigError(
                    f"{what}: width {width} with {heads} heads; expected a head size that is a "
                    "multiple of 4, for two-dimensional rotary positions."
                )
        for name in ("dpt_channels", "dpt_width", "dpt_last", "human_head_ratio", "memory_blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more.")
        if self.human_size_px % 14 or self.human_size_px <= 0:
            raise ConfigError(
                f"human_size_px is {self.human_size_px}; expected a positive multiple of 14."
            )

    @property
    def dino_width(self) -> int:
        """Width of the human branch (F in the paper)."""
        return DINO_SIZES[self.dino][0]


_TINY = NetworkConfig(
    human_size_px=224,
    encoder_width=192,
    encoder_depth=3,
    encoder_heads=6,
    decoder_width=128,
    decoder_depth=4,
    decoder_heads=4,
    state_tokens=50,
    memory_slots=24,
    input_size_px=160,
)

_MINI = NetworkConfig(
    human_size_px=224,
    dino="dinov2_mini14",
    encoder_width=192,
    encoder_depth=5,
    encoder_heads=4,
    decoder_width=160,
    decoder_depth=4,
    decoder_heads=4,
    state_heads=4,
    state_tokens=64,
    memory_slots=64,
    memory_blocks=1,
    input_size_px=224,
    ray_map_depth=0,
    ray_map_heads=4,
    dpt_channels=16,
    dpt_width=40,
    dpt_last=16,
    human_head_ratio=1,
)

VARIANTS: dict[str, NetworkConfig] = {
    "tiny": _TINY,
    "human3r_mini": _MINI,
    "human3r_672S": NetworkConfig(human_size_px=672, dino="dinov2_vits14"),
    "human3r_672B": NetworkConfig(human_size_px=672, dino="dinov2_vitb14"),
    "human3r_672L": NetworkConfig(human_size_px=672, dino="dinov2_vitl14"),
    "human3r_896L": NetworkConfig(human_size_px=896, dino="dinov2_vitl14"),
}
"""Known networks by name. ``tiny`` is the smallest useful one, for tests and proofs;
``human3r_mini`` the one this project trains and ships; the others are published."""

OUR_VARIANT = "human3r_mini"
"""The network whose weights are bundled."""


def means(setting: str, ours: str, config: NetworkConfig) -> bool:
    """Whether a setting means ``ours``: by name, or by auto for a network of our own variant."""
    return setting == ours or (setting == "auto" and config == VARIANTS[OUR_VARIANT])
