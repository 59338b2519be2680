import math
import zlib

import numpy as np
import pytest

from human3r.model.seeded import seeded_state, seeded_tensor
from human3r.model.variants import VARIANTS
from human3r.model.weights_schema import alias, network_shapes

# Sum and first value of tensors of the tiny network with seed 0, as published with the rule.
PUBLISHED = {
    "pose_token": (-2.292601, 0.43535748),
    "enc_blocks.0.attn.qkv.weight": (1.025845, -0.01173880),
    "enc_norm.weight": (191.706421, 0.91261446),
    "dec_blocks.3.mlp.fc2.bias": (0.044638, -0.01235664),
    "downstream_head.dpt_self.scratch.layer_rn.2.weight": (-26.191463, 0.01602989),
    "downstream_head.mlp_classif.2.bias": (-5.507851, -5.50785065),
    "backbone.encoder.pos_embed": (-164.265587, 0.53621936),
    "downstream_head.init_body_pose": (106.178927, 0.97552335),
    "pose_retriever.mem": (-68.738708, 0.49323788),
}


@pytest.fixture(scope="module")
def shapes():
    return network_shapes(VARIANTS["tiny"])


@pytest.mark.parametrize("key", PUBLISHED)
def test_tensors_have_the_published_check_values(shapes, key):
    values = seeded_tensor(key, shapes[key])
    assert values.dtype == np.float32
    assert values.shape == shapes[key]
    total, first = PUBLISHED[key]
    assert values.astype(np.float64).sum() == pytest.approx(total, abs=2e-6)
    assert values.flat[0] == pytest.approx(first, abs=1e-8)


@pytest.mark.slow
def test_the_whole_tiny_network_has_the_published_sum(shapes):
    total = sum(
        np.abs(seeded_tensor(key, shape).astype(np.float64)).sum() for key, shape in shapes.items()
    )
    assert len(shapes) == 827
    assert total == pytest.approx(2908928.562, abs=1e-3)


def test_both_names_of_a_shared_tensor_are_equal(shapes):
    pairs = [(key, alias(key)) for key in shapes if alias(key) and ".layer_rn." in key]
    assert len(pairs) == 12
    first, second = pairs[0]
    assert np.array_equal(
        seeded_tensor(first, shapes[first], 3), seeded_tensor(second, shapes[second], 3)
    )


def test_a_tensor_depends_on_its_name_and_seed():
    first = seeded_tensor("a.weight", (4, 5))
    assert not np.array_equal(first, seeded_tensor("a.weight", (4, 5), 1))
    assert not np.array_equal(first, seeded_tensor("b.weight", (4, 5)))
    assert np.array_equal(first, seeded_state({"b.bias": [3], "a.weight": [4, 5]})["a.weight"])


def test_an_unlisted_weight_is_noise_scaled_by_its_fan():
    start = (zlib.crc32(b"x.weight") + 1000003 * 2) % 2**32
    noise = np.random.Generator(np.random.PCG64(start)).standard_normal((6, 4, 9))
    expected = (noise / math.sqrt(36)).astype(np.float32)
    assert np.array_equal(seeded_tensor("x.weight", (6, 4, 9), 2), expected)
