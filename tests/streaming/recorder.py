"""Runs a golden stream and collects every array that the golden files hold, by forward hooks."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from human3r.config import Settings
from human3r.geometry import estimate_focal, project, rotation_vector_from_matrix, transform_points
from human3r.model.layers import POSE_POSITION, state_positions
from human3r.model.network import Human3R
from human3r.streaming.preprocess import crop_from_square
from human3r.streaming.session import StreamSession, View
from human3r.types import Frame

_HEAD_TOKENS = 8
_ENCODERS = ("view.", "patch_embed", "enc_", "dino_")
"""Begins of names of what the first half of the network takes and says."""


class Recorder:
    """Keeps inputs and outputs of the network's modules, one list entry per view."""

    def __init__(self, network: Human3R) -> None:
        self.out: dict[str, list[torch.Tensor]] = defaultdict(list)
        self._handles = []
        heads = network.downstream_head
        modules: dict[str, torch.nn.Module] = {
            "patch_embed": network.patch_embed,
            "enc_out": network.enc_norm,
            "dino_out": network.backbone,
            "dec_out": network.dec_norm,
            "det_logits": heads.mlp_classif,
            "det_offset": heads.mlp_offset,
            "prompt_tokens": heads.mlp_fuse,
            "cross_tokens": heads.final_transform[-1],
            "pose_raw": heads.pose_head,
            "dpt_self_raw": heads.dpt_self,
            "dpt_cross_raw": heads.dpt_cross,
        }
        for kind, blocks in (
            ("enc_block", network.enc_blocks),
            ("dino_block", network.backbone.encoder.blocks),
            ("dec_block_img", network.dec_blocks),
            ("dec_block_state", network.dec_blocks_state),
        ):
            modules |= {f"{kind}.{i}": block for i, block in enumerate(blocks)}
        for name, module in modules.items():
            self._handles.append(module.register_forward_hook(self._keep_output(name)))
        for name, module in {
            "dino_in": network.backbone.encoder,
            "decoder_in": network.dec_blocks[0],
        }.items():
            self._handles.append(module.register_forward_pre_hook(self._keep_inputs(name)))
        self._watch_halves(network)

    def _watch_halves(self, network: Human3R) -> None:
        """Inputs of every view. The overlap view has the encoders' answers of the one before."""
        encode, recur = network.encode, network.recur
        keep_images, keep_state = self._keep_inputs("view", 2), self._keep_inputs("state", 2)
        is_encoded = False

        def watched_encode(*inputs: Any) -> Any:
            nonlocal is_encoded
            keep_images(network, inputs)
            is_encoded = True
            return encode(*inputs)

        def watched_recur(encoded: Any, *inputs: Any, **options: Any) -> Any:
            nonlocal is_encoded
            keep_state(network, inputs)
            if not is_encoded:
                for name, values in self.out.items():
                    if name.startswith(_ENCODERS):
                        values.append(values[-1])
            is_encoded = False
            return recur(encoded, *inputs, **options)

        network.encode, network.recur = watched_encode, watched_recur
        self._network = network

    def _keep_output(self, name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            self.out[name].append(output.clone())

        return hook

    def _keep_inputs(self, name: str, count: int = 1) -> Any:
        def hook(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            for number in range(count):
                self.out[f"{name}.{number}"].append(inputs[number].clone())

        return hook

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        del self._network.encode, self._network.recur


def record_stream(
    network: Human3R, body: Any, frames: np.ndarray, options: dict, golden: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Our version of every array of a golden stream."""
    network.rope_dtype = options["encoder_rope_dtype"]
    interval = options["reset_interval"]
    settings = Settings().replace(
        {
            "model.ttt3r": options["use_ttt3r"],
            "model.input_size": options["size"],
            "session.reset_interval": interval if interval <= len(frames) else 0,
            "people.forget_s": 0.0,
        }
    )
    recorder = Recorder(network)
    session = StreamSession(network, body, settings)
    views: list[tuple[int, View]] = []
    try:
        with torch.inference_mode():
            for number, image in enumerate(frames):
                frame = Frame(image, stamp_ns=number + 1)
                views += [(number, v) for v in session.push_views(frame, outputs=("world", "rgb"))]
    finally:
        recorder.remove()
        network.rope_dtype = "float32"
    with torch.inference_mode():
        step = options["subsample"]
        arrays = _view_arrays(views, step) | _people_arrays([v for _, v in views])
        arrays |= _hooked_arrays(recorder.out, golden, step, len(frames))
        arrays |= _final_arrays(session, [v for _, v in views], step, options)
        arrays["state_pos"] = state_positions(network.config.state_tokens)
        arrays["pose_pos"] = torch.full((len(views), 1, 2), POSE_POSITION)
    return {name: np.asarray(value) for name, value in arrays.items()}


def _view_arrays(views: list[tuple[int, View]], step: int) -> dict[str, Any]:
    out = [view.output for _, view in views]
    strided = (slice(None), slice(None, None, step), slice(None, None, step))
    arrays = {
        "view_frame": np.array([number for number, _ in views]),
        "view_reset": np.array([view.is_reset for _, view in views]),
        "pts3d_in_self_view": torch.stack([o.points_camera for o in out])[strided],
        "conf_self": torch.stack([o.confidence for o in out])[strided],
        "pts3d_in_other_view": torch.stack([o.points_world for o in out])[strided],
        "conf": torch.stack([o.confidence_world for o in out])[strided],
        "rgb": torch.stack([o.rgb for o in out])[strided],
        "camera_pose": torch.stack([o.camera_pose for o in out]),
        "camera_c2w_chunk": np.stack([view.segment_from_camera for _, view in views]),
        "smpl_scores": torch.stack([o.peaks for o in out]),
        "msk": torch.stack([o.person_probability for o in out])[strided],
        "state_new": torch.cat([o.state for o in out]),
        "mem_new": torch.cat([o.memory for o in out]),
    }
    rows = out[0].points_camera.shape[0] // 2
    arrays["pts3d_in_self_view_frame0_rows"] = out[0].points_camera[rows : rows + 2]
    if out[0].gate is not None:
        arrays["ttt_gate"] = torch.cat([o.gate for o in out])
    for name in ("state_new", "mem_new"):
        arrays[f"{name}_stats"] = _stats(arrays[name])
    return arrays


def _people_arrays(views: list[View]) -> dict[str, Any]:
    out = [view.output for view in views]
    rotations = torch.cat([o.people.rotations for o in out])
    patches = torch.cat([o.detections.patches for o in out])
    return {
        "n_humans": np.array([len(view.track_ids) for view in views]),
        "smpl_rotmat": rotations,
        "smpl_rotvec": rotation_vector_from_matrix(rotations),
        "smpl_shape": torch.cat([o.people.betas for o in out]),
        "smpl_transl": torch.cat([o.people.head_camera for o in out]),
        "smpl_expression": torch.cat([o.people.expression for o in out]),
        "smpl_id": np.concatenate([view.track_ids for view in views]),
        "smpl_loc": torch.cat([o.detections.head_square_px for o in out]),
        "det_hw": torch.cat([o.detections.tokens for o in out]),
        "backbone_patch_wh": patches.flip(-1),
        "human_pos": patches,
        "dec_out_human": torch.cat([o.human_tokens for o in out]),
    }


def _hooked_arrays(
    out: dict[str, list[torch.Tensor]], golden: dict[str, np.ndarray], step: int, num_frames: int
) -> dict[str, Any]:
    kept = golden["kept_views"].tolist()
    head = slice(None, _HEAD_TOKENS)
    ends = [*range(_HEAD_TOKENS), -2, -1]
    grid = math.isqrt(out["det_logits"][0].shape[1])
    raw_step = (0, slice(None), slice(None, None, step), slice(None, None, step))

    def kept_blocks(kind: str, layers: str, tokens: Any) -> torch.Tensor | None:
        if layers not in golden:
            return None
        numbers = golden[layers].tolist()
        return torch.stack(
            [torch.stack([out[f"{kind}.{n}"][v][0, tokens] for n in numbers]) for v in kept]
        )

    arrays = {
        "img_frame0": out["view.0"][0][0],
        "img_mhmr_frame0": out["view.1"][0][0, :, ::step, ::step],
        "dino_in_frame0": out["dino_in.0"][0][0, :, ::step, ::step],
        "state_in": torch.cat(out["state.0"]),
        "mem_in": torch.cat(out["state.1"]),
        "state_in_stats": _stats(torch.cat(out["state.0"])),
        "mem_in_stats": _stats(torch.cat(out["state.1"])),
        "pose_token_in": torch.cat([x[:, :1] for x in out["decoder_in.0"]]),
        "patch_embed": torch.stack([out["patch_embed"][v][0, head] for v in kept]),
        "enc_block": kept_blocks("enc_block", "enc_block_layers", head),
        "dino_block": kept_blocks("dino_block", "dino_block_layers", slice(None, 6)),
        "dec_block_img": kept_blocks("dec_block_img", "dec_block_layers", ends),
        "dec_block_state": kept_blocks("dec_block_state", "dec_block_layers", head),
        "enc_out": torch.stack([out["enc_out"][v][0] for v in kept]),
        "enc_out_channel_mean": torch.cat([x.mean(1) for x in out["enc_out"]]),
        "dino_out": torch.stack([out["dino_out"][v][0] for v in kept]),
        "dino_out_channel_mean": torch.cat([x.mean(1) for x in out["dino_out"]]),
        "dec_out_img_head8": torch.stack([x[0, head] for x in out["dec_out"]]),
        "cross_tokens": torch.stack([out["cross_tokens"][v][0] for v in kept]),
        "pose_raw": torch.cat([x[:, 0] for x in out["pose_raw"]]),
        "dpt_self_raw": torch.stack([out["dpt_self_raw"][v][raw_step] for v in kept]),
        "dpt_cross_raw": torch.stack([out["dpt_cross_raw"][v][raw_step] for v in kept]),
        "det_logits": torch.cat([x.view(1, grid, grid) for x in out["det_logits"]]),
        "det_offset": torch.cat(out["det_offset"]),
        "prompt_tokens": torch.cat([x[0] for x in out["prompt_tokens"]]),
    }
    return {name: value for name, value in arrays.items() if value is not None}


def _final_arrays(
    session: StreamSession, views: list[View], step: int, options: dict
) -> dict[str, Any]:
    kept = [number for number, view in enumerate(views) if not view.is_overlap]
    final = [views[number] for number in kept]
    height, width = options["model_height"], options["model_width"]
    points = [view.output.points_camera for view in final]
    matrix = torch.tensor(
        [
            [width / (2 * math.tan(math.radians(30))), 0, width / 2],
            [0, width / (2 * math.tan(math.radians(30))), height / 2],
            [0, 0, 1],
        ]
    )
    meshes = [(view, session.bodies(view)) for view in final]
    meshes = [(view, mesh) for view, mesh in meshes if mesh is not None]
    joints = torch.cat([mesh.joints for _, mesh in meshes])
    return {
        "final_view_index": np.array(kept),
        "final_pts3d_world": np.stack(
            [
                transform_points(view.world_from_camera, p[::step, ::step].numpy())
                for view, p in zip(final, points, strict=True)
            ]
        ),
        "final_focal": estimate_focal(torch.stack(points)),
        "final_pp": np.tile([width // 2, height // 2], (len(final), 1)).astype(np.float32),
        "final_R": np.stack([view.world_from_camera[:3, :3] for view in final]),
        "final_t": np.stack([view.world_from_camera[:3, 3] for view in final]),
        "final_msk": torch.stack(
            [
                crop_from_square(view.output.person_probability, width, height)[::step, ::step]
                for view in final
            ]
        ),
        "final_verts_world_stride50": np.concatenate(
            [
                transform_points(view.world_from_camera, mesh.vertices[:, ::50].numpy())
                for view, mesh in meshes
            ]
        ),
        "cam_verts_stride50": torch.cat([mesh.vertices[:, ::50] for _, mesh in meshes]),
        "cam_joints": joints,
        "pelvis_cam": joints[:, 0],
        "proj_K": matrix,
        "proj_joints": project(joints, matrix),
    }


def _stats(tensors: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.stack((t.mean(), t.std(), t.norm())) for t in tensors])
