import pytest
import torch

from human3r.errors import ConfigError, ShapeError
from human3r.model.layers import DinoEncoder, patch_positions, state_positions
from human3r.model.network import Human3R
from human3r.model.variants import VARIANTS
from human3r.streaming.preprocess import normalise, pad_to_square
from tests.conftest import seeded_network


@pytest.fixture(scope="module")
def network() -> Human3R:
    """Untrained, of the size that comes along. Leave it as it is."""
    return seeded_network("human3r_mini")


@torch.inference_mode()
def _view(network, image, **options):
    pixels = normalise(image, "cpu")
    state, memory = network.initial_state(), network.initial_memory()
    options = {"is_first": True} | options
    return network(pixels, pad_to_square(pixels, 224), state, memory, **options)


@pytest.fixture
def picture(golden_frames):
    """Make a network image of any size from a golden frame."""

    def crop(height, width):
        image = golden_frames[0][:height, :width].copy()
        assert image.shape[:2] == (height, width)
        return image

    return crop


@pytest.mark.parametrize(
    ("height", "width"),
    [(112, 144), (16, 16), (160, 96), (112, 112), (16, 240)],
    ids=["odd", "one patch", "portrait", "square", "strip"],
)
def test_any_multiple_of_the_patch_is_a_legal_size(network, picture, height, width):
    out = _view(network, picture(height, width), outputs=("world", "rgb"), with_gate=True)
    assert out.points_camera.shape == out.points_world.shape == out.rgb.shape == (height, width, 3)
    assert out.confidence.shape == out.confidence_world.shape == (height, width)
    assert out.person_probability.shape == (224, 224)
    assert out.gate.shape == (1, 64)
    assert (out.confidence >= 1).all()
    assert out.rgb.abs().max() <= 1
    for tensor in (out.points_camera, out.points_world, out.state, out.memory, out.gate):
        assert tensor.isfinite().all()
    patches = out.detections.patches
    assert (patches >= 0).all()
    assert (patches < torch.tensor([height // 16, width // 16])).all()


def test_extra_outputs_cost_nothing_unless_asked_for(network, picture):
    calls = []
    heads = network.downstream_head
    handles = [
        module.register_forward_hook(lambda *_: calls.append(1))
        for module in (heads.dpt_cross, heads.dpt_rgb, *heads.final_transform)
    ]
    try:
        out = _view(network, picture(96, 160))
    finally:
        for handle in handles:
            handle.remove()
    assert calls == []
    assert out.points_world is out.confidence_world is out.rgb is out.gate is None


def test_asking_for_more_changes_nothing_else(network, picture):
    plain = _view(network, picture(96, 160))
    full = _view(network, picture(96, 160), outputs=("world", "rgb"), with_gate=True)
    assert torch.equal(plain.points_camera, full.points_camera)
    assert torch.equal(plain.state, full.state)


def test_a_frame_with_nobody_is_answered(network, picture):
    out = _view(network, picture(96, 160), min_score=1.0)
    assert out.human_tokens.shape == (0, 160)
    assert out.people.rotations.shape == (0, 53, 3, 3)
    assert out.detections.head_square_px.shape == (0, 2)
    assert out.points_camera.isfinite().all()


def test_people_take_part_in_the_scene(network, picture):
    """Prompts enter the decoder, so the answers with and without people differ."""
    nobody = _view(network, picture(96, 160), min_score=1.0)
    somebody = _view(network, picture(96, 160), min_score=0.02)
    assert len(somebody.human_tokens) > 0
    assert not torch.equal(nobody.points_camera, somebody.points_camera)


def test_two_people_may_share_one_patch(network, picture):
    """In a strip of one row of patches, heads above and below the picture fall on one patch."""
    out = _view(network, picture(16, 160), min_score=0.0)
    patches = [tuple(patch) for patch in out.detections.patches.tolist()]
    assert len(set(patches)) < len(patches), "no two people on one patch; choose another image"
    assert len(out.human_tokens) == len(patches)
    assert out.people.rotations.isfinite().all()


def test_gate_is_the_mean_over_whole_attention_matrices(network, picture):
    """Against all logits of all layers, heads and image tokens, written out."""
    seen = []

    def keep(module, inputs):
        x, y, x_table, y_table = inputs[:4]
        q = module.projq(x).unflatten(-1, (module.heads, -1)).transpose(1, 2)
        k = module.projk(y).unflatten(-1, (module.heads, -1)).transpose(1, 2)
        logits = x_table.rotate(q) @ y_table.rotate(k).transpose(-1, -2)
        seen.append(logits / q.shape[-1] ** 0.5)

    handles = [
        block.cross_attn.register_forward_pre_hook(keep) for block in network.dec_blocks_state
    ]
    try:
        out = _view(network, picture(96, 160), with_gate=True)
    finally:
        for handle in handles:
            handle.remove()
    want = torch.stack(seen).mean(dim=(0, 2, 4)).sigmoid()
    assert torch.allclose(out.gate, want, atol=1e-6)
    assert out.gate.std() > 0


def test_the_network_itself_never_changes(network, picture):
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    _view(network, picture(96, 160), is_first=False, with_gate=True)
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_constants_of_many_sizes_do_not_pile_up(network, picture):
    for width in range(16, 176, 16):
        _view(network, picture(16, width))
    assert len(network._constants) <= 4


def test_state_positions_fill_rows_of_even_length():
    assert state_positions(50)[[0, 7, 8, 49]].tolist() == [[0, 0], [0, 7], [1, 0], [6, 1]]
    assert state_positions(768)[[27, 28]].tolist() == [[0, 27], [1, 0]]
    assert patch_positions((2, 3)).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


def test_a_stored_grid_of_positions_is_used_as_it_is():
    encoder = DinoEncoder(12, depth=1, heads=2)
    assert encoder.positions(37) is encoder.pos_embed


def test_new_weights_renew_the_resampled_positions():
    encoder = DinoEncoder(12, depth=1, heads=2).requires_grad_(False)
    torch.nn.init.normal_(encoder.pos_embed)
    first = encoder.positions(16)
    assert encoder.positions(16) is first
    assert first.shape == (1, 257, 12)
    encoder.load_state_dict(
        {key: tensor + 1 for key, tensor in encoder.state_dict().items()}, strict=True
    )
    assert torch.allclose(encoder.positions(16), first + 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 90, 160), (1, 1, 96, 160), (2, 3, 96, 160)])
def test_an_image_of_another_shape_is_refused(network, shape):
    state, memory = network.initial_state(), network.initial_memory()
    with pytest.raises(ShapeError, match=r"expected.*got"):
        network(torch.zeros(shape), torch.zeros(1, 3, 224, 224), state, memory, is_first=True)


def test_a_human_image_of_another_shape_is_refused(network):
    state, memory = network.initial_state(), network.initial_memory()
    with pytest.raises(ShapeError, match="human_image"):
        network(torch.zeros(1, 3, 96, 160), torch.zeros(1, 3, 96, 96), state, memory, is_first=True)


def test_an_unknown_output_is_refused(network, picture):
    with pytest.raises(ConfigError, match="depth"):
        _view(network, picture(96, 160), outputs=("depth",))


def test_an_unknown_rope_dtype_is_refused():
    with torch.device("meta"), pytest.raises(ConfigError, match="bfloat16"):
        Human3R(VARIANTS["tiny"], rope_dtype="bfloat16")


@pytest.mark.slow
def test_a_published_size_steps_with_seeded_weights():
    """848 million parameters through one small frame."""
    network = seeded_network("human3r_672S")
    with torch.inference_mode():
        pixels = torch.rand(1, 3, 48, 64) * 2 - 1
        out = network(
            pixels,
            pad_to_square(pixels, 672),
            network.initial_state(),
            network.initial_memory(),
            is_first=True,
            with_gate=True,
        )
    assert out.points_camera.shape == (48, 64, 3)
    assert out.state.shape == (1, 768, 768)
    assert out.memory.shape == (1, 256, 1536)
    for tensor in (out.points_camera, out.confidence, out.state, out.memory, out.gate):
        assert tensor.isfinite().all()
    assert out.points_camera.std() > 0
