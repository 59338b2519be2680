"""The Human3R network: one frame and the recurrent state in, people, scene and camera out.

``Human3R`` is the network, ``Runner`` one way to run it: step by step as it comes, or as one piece
of fixed shape. Every way gives the same answers. The fixed ones always compute for ``max_people``
people and hide those that are not there, so that nothing in a frame depends on the picture and the
host never waits. The CUDA graph has not been run on a GPU yet.

Source: Chen et al., Human3R, arXiv 2510.06219.
"""

import dataclasses
import math
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from human3r.errors import ConfigError, ShapeError
from human3r.geometry import pose_from_raw
from human3r.model.heads import (
    Detections,
    DownstreamHead,
    People,
    choose_peaks,
    fill_slots,
    keep_peaks,
    locate_people,
    nobody,
    picture_rows,
    points_from_raw,
    probability,
    unfold_mask,
)
from human3r.model.layers import (
    DecoderBlock,
    HumanBackbone,
    PatchEmbed,
    PoseRetriever,
    SizeConstants,
    beside,
    bulk,
    decode,
    exact,
    image_blocks,
    layer_norm,
    random_values,
    run_blocks,
)
from human3r.model.variants import DINO_SIZES, NetworkConfig

OPTIONAL_OUTPUTS = frozenset({"world", "rgb", "mask"})
"""What costs extra and is computed only when asked for: the world head, the image repeated, and
person probabilities beside the picture in the square image."""

_ROPE_ROUNDING = {"float32": None, "float16": torch.float16}
_MAX_CACHED_SIZES = 4


@dataclass(frozen=True)
class Encoded:
    """What both encoders say about one view: all of the network that knows of no other view."""

    patches: Float[Tensor, "1 patches width"]
    """Tokens of the image encoder."""
    appearance: Float[Tensor, "1 tokens channels"] | None
    """Tokens of the human branch; None where it was not run, and no person is to be found."""
    height_px: int
    """Of the network image."""
    width_px: int


@dataclass(frozen=True)
class NetworkOutput:
    """Everything the network says about one view; tensors on its device, without batch axis."""

    points_camera: Float[Tensor, "height width 3"]
    confidence: Float[Tensor, "height width"]
    camera_pose: Float[Tensor, "7"]
    """Translation in metres and quaternion (w first): segment_from_camera."""
    person_probability: Float[Tensor, "side side"] | None
    """Of the human branch's square image; None where the branch was not run."""
    peaks: Float[Tensor, "rows columns"] | None
    """Head scores after suppression of neighbours, per token of the human branch; None as above."""
    detections: Detections
    people: People
    human_tokens: Float[Tensor, "people width"]
    """Decoded human tokens, by which identities are matched."""
    num_people: Int[Tensor, ""]
    """How many people there are; with slots, the further rows of people mean nothing."""
    state: Float[Tensor, "1 state width"]
    """What the state becomes if the frame is taken in fully."""
    memory: Float[Tensor, "1 slots double"]
    """What the pose memory becomes if the frame is taken in."""
    gate: Float[Tensor, "1 state"] | None = None
    """TTT3R's gate per state token; only when asked for."""
    points_world: Float[Tensor, "height width 3"] | None = None
    """From the world head, in the segment's frame; only when asked for."""
    confidence_world: Float[Tensor, "height width"] | None = None
    rgb: Float[Tensor, "height width 3"] | None = None
    """The image as the network repeats it, [-1, 1]; only when asked for."""

    def of_people(self, count: int) -> "NetworkOutput":
        """The answer with so many rows of people."""
        if count == len(self.human_tokens):
            return self
        found, people = (
            replace(part, **{name: rows[:count] for name, rows in vars(part).items()})
            for part in (self.detections, self.people)
        )
        human_tokens = self.human_tokens[:count]
        return replace(self, detections=found, people=people, human_tokens=human_tokens)


class Human3R(nn.Module):
    """The network of every variant; its state dict has the published names and shapes.

    Args:
        config: sizes.
        rope_dtype: precision in which the image encoder rotates queries and keys; ``float16``
            repeats the reference's rounding.

    Attributes:
        config: sizes.
        rope_dtype: as above; may be changed at any time between frames.
        compute_dtype: in which the large layers multiply; see ``precision.set_precision``.
    """

    def __init__(self, config: NetworkConfig, *, rope_dtype: str = "float32") -> None:
        super().__init__()
        self.config = config
        self.rope_dtype = rope_dtype
        e, d, f = config.encoder_width, config.decoder_width, config.dino_width

        self.patch_embed = PatchEmbed(3, config.patch_px, e)
        self.enc_blocks = image_blocks(e, config.encoder_depth, config.encoder_heads)
        self.enc_norm = layer_norm(e)
        self.backbone = HumanBackbone(*DINO_SIZES[config.dino], config.human_size_px)

        self.decoder_embed = nn.Linear(e, d)
        self.decoder_embed_state = nn.Linear(e, d)
        self.register_tokens = nn.Embedding.from_pretrained(
            random_values(config.state_tokens, e), freeze=False
        )
        self.pose_token = _token(1, 1, d)
        self.dec_blocks = _decoder_blocks(d, config.decoder_depth, config.decoder_heads)
        self.dec_norm = layer_norm(d)
        self.dec_blocks_state = _decoder_blocks(d, config.decoder_depth, config.state_heads)
        self.dec_norm_state = layer_norm(d)
        self.pose_retriever = PoseRetriever(config)
        self.downstream_head = DownstreamHead(config)

        # Part of every checkpoint; the stream feeds neither ray maps nor masked inputs.
        self.patch_embed_ray_map = PatchEmbed(6, config.patch_px, e)
        self.enc_blocks_ray_map = image_blocks(e, config.ray_map_depth, config.ray_map_heads)
        self.enc_norm_ray_map = layer_norm(e)
        self.masked_img_token = _token(1, e)
        self.masked_ray_map_token = _token(1, e)
        self.masked_smpl_token = _token(1, e)
        self.mhmr_masked_smpl_token = _token(1, f)
        self.mhmr_masked_img_token = _token(1, f)

        self.compute_dtype = torch.float32
        self._constants: dict[tuple[object, ...], SizeConstants] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pose_token.device

    @property
    def rope_dtype(self) -> str:
        """Precision of the image encoder's rotation: float32 or float16."""
        return self._rope_dtype

    @rope_dtype.setter
    def rope_dtype(self, name: str) -> None:
        if name not in _ROPE_ROUNDING:
            raise ConfigError(
                f"rope_dtype is {name!r}; expected one of {', '.join(_ROPE_ROUNDING)}. "
                "Use float32 unless you compare against the reference's rounding."
            )
        self._rope_dtype = name

    def initial_state(self) -> Float[Tensor, "1 state width"]:
        """State tokens before the first frame."""
        return self.decoder_embed_state(self.register_tokens.weight)[None]

    def initial_memory(self) -> Float[Tensor, "1 slots double"]:
        """Pose memory before the first frame."""
        return self.pose_retriever.mem

    def forward(
        self,
        image: Float[Tensor, "1 3 height width"],
        human_image: Float[Tensor, "1 3 side side"] | None,
        state: Float[Tensor, "1 state width"],
        memory: Float[Tensor, "1 slots double"],
        **options: Any,
    ) -> NetworkOutput:
        """One view through the network; nothing in the network changes.

        Args:
            image: RGB in [-1, 1], sides multiples of ``config.patch_px``.
            human_image: the same picture padded to a square of ``config.human_size_px``; None
                leaves the human branch out, and with it all people.
            state: state tokens as left by the previous frame.
            memory: pose memory as left by the previous frame.
            options: as of ``recur``.

        Raises:
            ShapeError: image sizes that the network cannot take.
            ConfigError: unknown output, or slots without their number.
        """
        return self.recur(self.encode(image, human_image), state, memory, **options)

    def encode(
        self,
        image: Float[Tensor, "1 3 height width"],
        human_image: Float[Tensor, "1 3 side side"] | None,
    ) -> Encoded:
        """The first part of ``forward``, which may run ahead of the frame before.

        Args:
            image: as in ``forward``.
            human_image: as in ``forward``.

        Raises:
            ShapeError: image sizes that the network cannot take.
        """
        self.check_images(image, human_image)
        height, width = image.shape[-2:]
        tokens = self.encode_tokens(image, human_image, *self.look_up(height, width))
        return Encoded(*tokens, height, width)

    def recur(
        self,
        encoded: Encoded,
        state: Float[Tensor, "1 state width"],
        memory: Float[Tensor, "1 slots double"],
        *,
        is_first: bool,
        min_score: float = 0.3,
        max_people: int | None = None,
        has_slots: bool = False,
        with_gate: bool = False,
        outputs: Collection[str] = (),
    ) -> NetworkOutput:
        """The second part of ``forward``: what the view says in the light of those before it.

        Args:
            encoded: from ``encode``.
            state: as in ``forward``.
            memory: as in ``forward``.
            is_first: nothing is known yet: the camera starts at the origin.
            min_score: head score from which a person counts.
            max_people: keep that many people of the highest scores; None: all.
            has_slots: compute for ``max_people`` people always, so that all shapes are known
                beforehand and the host never waits; the first ``num_people`` rows are people.
            with_gate: also compute TTT3R's gate.
            outputs: some of ``OPTIONAL_OUTPUTS``.

        Raises:
            ConfigError: unknown output, or slots without their number.
        """
        _check_outputs(outputs)
        if has_slots and max_people is None:
            raise ConfigError("has_slots needs max_people, the number of slots.")
        size_px = (encoded.height_px, encoded.width_px)
        constants, _ = self.look_up(*size_px)
        return self.answer(
            encoded.patches,
            encoded.appearance,
            state,
            memory,
            constants,
            size_px=size_px,
            is_first=is_first,
            min_score=min_score,
            max_people=max_people,
            # Without people there are no slots to fill.
            has_slots=has_slots and encoded.appearance is not None,
            with_gate=with_gate,
            outputs=tuple(outputs),
        )

    def encode_tokens(
        self,
        image: Tensor,
        human_image: Tensor | None,
        constants: SizeConstants,
        human_positions: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """``encode`` without checks and look-ups: what may be compiled or captured.

        Args:
            image: as in ``forward``.
            human_image: as in ``forward``.
            constants: from ``look_up``.
            human_positions: from ``look_up``.

        Returns:
            Tokens of the image encoder and of the human branch, if that was run.
        """
        with bulk(image.device, self.compute_dtype):
            if human_image is None:
                return self._encode(image, constants), None
            return beside(
                lambda: self._encode(image, constants),
                lambda: self.backbone(human_image, human_positions),
                image.device,
            )

    def answer(
        self,
        encoded: Tensor,
        appearance: Tensor | None,
        state: Tensor,
        memory: Tensor,
        constants: SizeConstants,
        *,
        size_px: tuple[int, int],
        is_first: bool,
        min_score: float,
        max_people: int | None,
        has_slots: bool,
        with_gate: bool,
        outputs: tuple[str, ...],
    ) -> NetworkOutput:
        """``recur`` without checks and look-ups: what may be compiled or captured.

        Args:
            encoded: from ``encode_tokens``.
            appearance: from ``encode_tokens``.
            state: as in ``recur``, like all not named here.
            memory: as in ``recur``.
            constants: from ``look_up``.
            size_px: height and width of the image.
            is_first: as in ``recur``.
            min_score: as in ``recur``.
            max_people: as in ``recur``.
            has_slots: as in ``recur``.
            with_gate: as in ``recur``.
            outputs: as in ``recur``.
        """
        height, width = size_px
        grid = self._grid(height, width)
        heads, retriever = self.downstream_head, self.pose_retriever
        with bulk(encoded.device, self.compute_dtype):
            # Detect heads; each person becomes a prompt beside the image tokens.
            if appearance is None:
                peaks, found, num_people = None, nobody(encoded.device), _zero(encoded.device)
                appearance_found = encoded.new_zeros(1, 0, self.config.dino_width)
            else:
                peaks, found, num_people = self._detect(
                    appearance, height, width, min_score, max_people, has_slots
                )
                appearance_found = appearance[:, found.token_index]
            prompts = heads.mlp_fuse(
                torch.cat((appearance_found, encoded[:, found.patch_index]), dim=-1)
            )

            # The camera token: a fixed one at the start, later what the memory recalls.
            address = retriever.address(encoded)
            pose = self.pose_token if is_first else retriever.read(address, memory)

            # Image side and recurrent state read each other, layer by layer.
            patch_end = 1 + grid[0] * grid[1]
            decoded = decode(
                torch.cat((pose, self.decoder_embed(encoded), prompts), dim=1),
                state,
                self.dec_blocks,
                self.dec_blocks_state,
                self.dec_norm,
                self.dec_norm_state,
                constants.with_prompts(found.patch_index),
                with_gate=with_gate,
                image_mask=_readable(patch_end, max_people, num_people) if has_slots else None,  # pyright: ignore[reportArgumentType]
            )
            last = decoded.image_layers[-1]
            pose, human = last[:, :1], last[0, patch_end:]
            layers = (encoded, *(layer[:, 1:patch_end] for layer in decoded.image_layers))
            new_memory = retriever.write(address, pose, memory)

            # Read the answers off the tokens.
            points_camera, confidence = points_from_raw(heads.dpt_self(layers, grid))
            optional = self._optional_outputs(outputs, layers, pose, grid, constants)
        return NetworkOutput(
            points_camera=points_camera,
            confidence=confidence,
            camera_pose=pose_from_raw(heads.pose_head(pose)[0, 0]),
            person_probability=self._mask(appearance, height, width, whole="mask" in outputs),
            peaks=peaks,
            detections=found,
            people=heads.people(human, appearance_found[0]),
            human_tokens=human,
            num_people=num_people,
            state=decoded.state,
            memory=new_memory,
            gate=decoded.gate,
            **optional,
        )

    def _encode(self, image: Tensor, constants: SizeConstants) -> Tensor:
        # Tokens between layers are float32, in whatever the layers multiply.
        tokens = self.patch_embed(image).float()
        return self.enc_norm(run_blocks(self.enc_blocks, tokens, constants.encoder))

    def _detect(
        self,
        appearance: Tensor,
        height: int,
        width: int,
        min_score: float,
        max_people: int | None,
        has_slots: bool,
    ) -> tuple[Tensor, Detections, Tensor]:
        side = math.isqrt(appearance.shape[1])
        with exact(appearance.device):
            scores = probability(self.downstream_head.mlp_classif(appearance)).view(side, side)
            peaks = keep_peaks(scores)
            if has_slots:
                assert max_people is not None, "forward has checked this"
                chosen, num_people = fill_slots(peaks, min_score, max_people)
            else:
                chosen = choose_peaks(peaks, min_score, max_people)
                num_people = torch.full((), len(chosen), device=chosen.device)
            found = locate_people(
                chosen,
                peaks.flatten()[chosen],
                self.downstream_head.mlp_offset(appearance[0, chosen]),
                square_px=self.config.human_size_px,
                width_px=width,
                height_px=height,
                patch_px=self.config.patch_px,
            )
        return peaks, found, num_people

    def _mask(
        self, appearance: Tensor | None, height: int, width: int, *, whole: bool
    ) -> Tensor | None:
        """Person probability of the square image; beside the picture only where wanted, else 0."""
        if appearance is None:
            return None
        side = math.isqrt(appearance.shape[1])
        rows = slice(0, side) if whole else picture_rows(side, width, height)
        tokens = appearance.unflatten(1, (side, side))[:, rows].flatten(1, 2)
        return unfold_mask(self.downstream_head.mlp_msk(tokens), side, rows.start)

    def _optional_outputs(
        self,
        outputs: Collection[str],
        layers: tuple[Tensor, ...],
        pose: Tensor,
        grid: tuple[int, int],
        constants: SizeConstants,
    ) -> dict[str, Tensor]:
        heads = self.downstream_head
        optional = {}
        if "world" in outputs:
            moved = heads.to_world(layers[-1], pose, constants.patches)
            raw = heads.dpt_cross((*layers[:-1], moved), grid)
            optional["points_world"], optional["confidence_world"] = points_from_raw(raw)
        if "rgb" in outputs:
            raw = heads.dpt_rgb(layers, grid)
            optional["rgb"] = (probability(raw)[0].permute(1, 2, 0) - 0.5) * 2
        return optional

    def check_images(self, image: Tensor, human_image: Tensor | None) -> None:
        """Nothing, when the network can take these.

        Raises:
            ShapeError: it cannot.
        """
        patch, square = self.config.patch_px, self.config.human_size_px
        height, width = image.shape[-2:]
        if image.shape[:2] != (1, 3) or height % patch or width % patch or not height * width:
            raise ShapeError(
                f"image: expected (1, 3, height, width) with sides that are multiples of {patch}, "
                f"got {tuple(image.shape)}. Prepare it with streaming.preprocess.",
                ("1", "3", f"multiple of {patch}", f"multiple of {patch}"),
                tuple(image.shape),
            )
        if human_image is not None and human_image.shape != (1, 3, square, square):
            raise ShapeError(
                f"human_image: expected (1, 3, {square}, {square}), got "
                f"{tuple(human_image.shape)}. Prepare it with streaming.preprocess.",
                (1, 3, square, square),
                tuple(human_image.shape),
            )

    def look_up(self, height_px: int, width_px: int) -> tuple[SizeConstants, Tensor]:
        """What ``encode_tokens`` and ``answer`` need for a size; kept until weights change."""
        grid = self._grid(height_px, width_px)
        return self.size_constants(grid, self.device), self.backbone.positions()

    def _grid(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Rows and columns of patches."""
        return height_px // self.config.patch_px, width_px // self.config.patch_px

    def size_constants(self, grid: tuple[int, int], device: torch.device) -> SizeConstants:
        """Rotary tables of images with so many rows and columns of patches; kept for later."""
        key = (grid, device, self.rope_dtype)
        found = self._constants.get(key)
        if found is None:
            if len(self._constants) >= _MAX_CACHED_SIZES:
                self._constants.clear()
            # Ordinary tensors serve training as well; those born in inference mode would not.
            with torch.inference_mode(False), torch.no_grad():
                found = SizeConstants.at(self.config, grid, device, _ROPE_ROUNDING[self.rope_dtype])
            self._constants[key] = found
        return found


@dataclass(frozen=True)
class RecurrentState:
    """The network's memory of a segment; a failed view simply makes no new one."""

    tokens: Float[Tensor, "1 state width"]
    memory: Float[Tensor, "1 slots double"]
    is_first: bool = True
    """Nothing has been taken in yet, so the next frame is where the camera starts."""

    @classmethod
    def initial(cls, network: Human3R) -> "RecurrentState":
        """The state before the first frame and after a reset."""
        return cls(network.initial_state(), network.initial_memory())

    def after(self, output: NetworkOutput, *, update: bool, ttt3r: bool) -> "RecurrentState":
        """The state once a view was seen.

        Args:
            output: the network's answer to the view.
            update: take the view in; otherwise the state stays as it is.
            ttt3r: blend token by token with the gate, except at the start of a segment.
        """
        if not update:
            return self
        tokens = output.state
        if ttt3r and not self.is_first:
            assert output.gate is not None, "the gate was not computed"
            gate = output.gate[..., None]
            tokens = gate * output.state + (1 - gate) * self.tokens
        return RecurrentState(tokens, output.memory, is_first=False)


def _check_outputs(outputs: Collection[str]) -> None:
    unknown = sorted(set(outputs) - OPTIONAL_OUTPUTS)
    if unknown:
        raise ConfigError(
            f"outputs names {', '.join(unknown)}; expected some of "
            f"{', '.join(sorted(OPTIONAL_OUTPUTS))}."
        )


def _readable(patch_end: int, slots: int, num_people: Tensor) -> Tensor:
    """Which tokens [1, 1, 1, tokens] are read: camera, patches, and the people that exist."""
    is_person = torch.arange(slots, device=num_people.device) < num_people
    return torch.cat((is_person.new_ones(patch_end), is_person))[None, None, None]


def _zero(device: torch.device) -> Int[Tensor, ""]:
    return torch.zeros((), dtype=torch.long, device=device)


def _token(*shape: int) -> nn.Parameter:
    return nn.Parameter(random_values(*shape, spread=0.02))


def _decoder_blocks(width: int, depth: int, heads: int) -> nn.ModuleList:
    return nn.ModuleList(DecoderBlock(width, heads) for _ in range(depth))


MODES = ("eager", "static", "compile", "cuda_graph")
_MAX_GRAPHS = 8


class Runner:
    """A network in one of ``MODES``; called like the network.

    Args:
        network: on its device.
        mode: eager: shapes follow the number of people; static: fixed shapes; compile: static
            and through ``torch.compile``; cuda_graph: static, recorded once, then replayed.

    Raises:
        ConfigError: unknown mode, or one that the device cannot do.
    """

    def __init__(self, network: Human3R, mode: str = "eager") -> None:
        if mode not in MODES:
            raise ConfigError(f"model.execution is {mode!r}; expected one of {', '.join(MODES)}.")
        if mode == "cuda_graph" and network.device.type != "cuda":
            raise ConfigError(
                f"model.execution is cuda_graph, and the network is on {network.device}; expected "
                "a CUDA device. Use eager, or compile."
            )
        self._network = network
        self._has_slots = mode != "eager"
        self._graphs: dict[tuple[object, ...], _Graph] | None = None
        self._encode_tokens, self._answer = network.encode_tokens, network.answer
        if mode == "compile":
            self._encode_tokens, self._answer = (
                torch.compile(part, fullgraph=True, dynamic=False)
                for part in (network.encode_tokens, network.answer)
            )
        elif mode == "cuda_graph":
            self._graphs = {}
        self._recording = threading.Lock()

    def __call__(
        self,
        image: Tensor,
        human_image: Tensor | None,
        state: Tensor,
        memory: Tensor,
        **options: Any,
    ) -> NetworkOutput:
        """As ``Human3R.forward``; where ``max_people`` is None, shapes follow the people."""
        return self.recur(self.encode(image, human_image), state, memory, **options)

    def encode(self, image: Tensor, human_image: Tensor | None) -> Encoded:
        """As ``Human3R.encode``. Another thread may be in ``recur`` meanwhile."""
        network = self._network
        if not self._has_slots:
            return network.encode(image, human_image)
        network.check_images(image, human_image)
        height, width = image.shape[-2:]
        found = network.look_up(height, width)
        inputs = (image, human_image)
        if self._graphs is None:
            return Encoded(*self._encode_tokens(*inputs, *found), height, width)  # pyright: ignore[reportCallIssue]
        graph = self._graph(
            "encode",
            inputs,
            (),
            lambda *given: network.encode_tokens(*given, *found),  # pyright: ignore[reportCallIssue]
        )
        return Encoded(*graph.replay(inputs), height, width)  # pyright: ignore[reportCallIssue]

    def recur(
        self,
        encoded: Encoded,
        state: Tensor,
        memory: Tensor,
        *,
        is_first: bool,
        min_score: float = 0.3,
        max_people: int | None = None,
        with_gate: bool = False,
        outputs: Collection[str] = (),
    ) -> NetworkOutput:
        """As ``Human3R.recur``; where ``max_people`` is None, shapes follow the people."""
        with_people = encoded.appearance is not None
        options: dict[str, Any] = {
            "is_first": is_first,
            "min_score": min_score,
            "max_people": max_people,
            "has_slots": self._has_slots and with_people and max_people is not None,
            "with_gate": with_gate,
            "outputs": tuple(sorted(outputs)),
        }
        is_fixed = options["has_slots"] or (self._has_slots and not with_people)
        # The first frame is unlike all others, and a stream has only one.
        if is_first or not is_fixed:
            return self._network.recur(encoded, state, memory, **options)
        network, size_px = self._network, (encoded.height_px, encoded.width_px)
        constants, _ = network.look_up(*size_px)
        options["size_px"] = size_px
        inputs = (encoded.patches, encoded.appearance, state, memory)
        if self._graphs is None:
            return self._answer(*inputs, constants, **options)  # pyright: ignore[reportCallIssue]
        graph = self._graph(
            "answer",
            inputs,
            tuple(options.values()),
            lambda *given: network.answer(*given, constants, **options),  # pyright: ignore[reportCallIssue]
        )
        return graph.replay(inputs)

    def _graph(
        self,
        part: str,
        inputs: tuple[Tensor | None, ...],
        options: tuple[object, ...],
        call: Callable[..., Any],
    ) -> "_Graph":
        assert self._graphs is not None, "only called in this mode"
        shapes = tuple(None if tensor is None else tensor.shape for tensor in inputs)
        key = (part, shapes, self._network.rope_dtype, *options)
        graph = self._graphs.get(key)
        if graph is None:
            with self._recording:
                if len(self._graphs) >= _MAX_GRAPHS:
                    self._graphs.clear()
                graph = self._graphs[key] = _Graph(call, inputs)
        return graph


class _Graph:
    """One call recorded on a CUDA device."""

    def __init__(
        self, call: Callable[..., Any], inputs: tuple[Tensor | None, ...], rounds: int = 3
    ) -> None:
        self._inputs = _copied(inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(rounds):  # Libraries choose their ways and allocate beforehand.
                call(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Another thread may use the device meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._output = call(*self._inputs)

    def replay(self, inputs: tuple[Tensor | None, ...]) -> Any:
        for mine, given in zip(self._inputs, inputs, strict=True):
            if given is not None:
                mine.copy_(given)
        self._graph.replay()
        return _copied(self._output)


def _copied(answer: Any) -> Any:
    """The answer with all its tensors copied: the next replay writes over the originals."""
    if isinstance(answer, tuple):
        return tuple(None if tensor is None else tensor.clone() for tensor in answer)
    fields = {}
    for field in dataclasses.fields(answer):
        value = getattr(answer, field.name)
        if isinstance(value, Tensor):
            value = value.clone()
        elif dataclasses.is_dataclass(value):
            value = _copied(value)
        fields[field.name] = value
    return type(answer)(**fields)
