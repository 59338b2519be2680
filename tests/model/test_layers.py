import pytest
import torch

from human3r.model.layers import CrossAttention, RotaryTable, SelfAttention


def _table(positions, head_size=16, rounding=None):
    return RotaryTable.at(torch.as_tensor(positions), head_size, 100.0, rounding)


def test_rotary_positions_repeat_the_golden_numbers(unit_ops):
    x = torch.from_numpy(unit_ops["rope.in_BNHD"]).transpose(1, 2)
    positions = unit_ops["rope.pos_yx"]
    assert positions.min() < 0, "negative positions are the point"
    got = _table(positions[0]).rotate(x).transpose(1, 2)
    want = torch.from_numpy(unit_ops["rope.out_BNHD"])
    assert (got - want).abs().max() <= 1e-5 * want.square().mean().sqrt()


def test_rotation_keeps_lengths_and_depends_on_differences_only():
    q, k = torch.randn(2, 1, 1, 1, 16).unbind()
    near = _table([[2, -1]]).rotate(q) * _table([[5, 1]]).rotate(k)
    far = _table([[12, 6]]).rotate(q) * _table([[15, 8]]).rotate(k)
    assert torch.allclose(near.sum(), far.sum(), atol=1e-5)
    assert torch.allclose(_table([[7, 3]]).rotate(q).norm(), q.norm())


def test_position_zero_changes_nothing():
    x = torch.randn(1, 2, 1, 16)
    assert torch.equal(_table([[0, 0]]).rotate(x), x)


def test_float16_rounding_gives_float16_numbers_as_float32():
    x = torch.randn(1, 2, 3, 16)
    positions = [[0, 1], [4, 2], [-1, -1]]
    rounded = _table(positions, rounding=torch.float16).rotate(x)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, rounded.half().float())
    assert not torch.equal(rounded, _table(positions).rotate(x))
    assert torch.allclose(rounded, _table(positions).rotate(x), atol=5e-3)


def test_tables_join_and_pick_rows():
    table = _table([[0, 1], [2, 3], [4, 5]])
    joined = _table([[-1, -1]]).then(table, table.rows(torch.tensor([2, 2])))
    want = _table([[-1, -1], [0, 1], [2, 3], [4, 5], [4, 5], [4, 5]])
    assert torch.equal(joined.cos, want.cos)
    assert torch.equal(joined.sin, want.sin)


@torch.no_grad()
def test_self_attention_is_the_textbook_formula():
    layer, x = SelfAttention(12, heads=3), torch.randn(2, 5, 12)
    q, k, v = (part.view(2, 5, 3, 4).transpose(1, 2) for part in layer.qkv(x).split(12, dim=-1))
    weights = (q @ k.transpose(-1, -2) / 4**0.5).softmax(-1)
    want = layer.proj((weights @ v).transpose(1, 2).reshape(2, 5, 12))
    assert torch.allclose(layer(x), want, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("with_positions", [False, True])
def test_mean_logits_equal_the_mean_of_the_whole_attention_matrix(with_positions):
    layer, x, y = CrossAttention(32, heads=2), torch.randn(1, 4, 32), torch.randn(1, 6, 32)
    x_table = y_table = None
    if with_positions:
        x_table = _table(torch.randint(-3, 9, (4, 2)))
        y_table = _table(torch.randint(-3, 9, (6, 2)))
    means = []
    layer(x, y, x_table, y_table, mean_logits=means)
    q = layer.projq(x).view(1, 4, 2, 16).transpose(1, 2)
    k = layer.projk(y).view(1, 6, 2, 16).transpose(1, 2)
    if with_positions:
        q, k = x_table.rotate(q), y_table.rotate(k)
    logits = q @ k.transpose(-1, -2) / 16**0.5
    assert torch.allclose(means[0], logits.mean(dim=(1, 3)), atol=1e-5)


@torch.no_grad()
def test_one_query_reads_what_many_would():
    """The shortcut for a single row of x against the ordinary way, on which two rows go."""
    layer, x, y = CrossAttention(32, heads=2), torch.randn(2, 2, 32), torch.randn(2, 6, 32)
    both = layer(x, y)
    for row in (0, 1):
        assert torch.allclose(layer(x[:, row : row + 1], y), both[:, row : row + 1], atol=1e-6)
    assert not torch.allclose(both[:, 0], both[:, 1], atol=1e-3)
