"""One camera's stream through the network: order, recurrence, resets, identities, poses."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from human3r.body.base import BodyMesh, BodyModel
from human3r.config import Settings
from human3r.errors import InputError, NonFiniteError, StreamOrderError
from human3r.geometry import chain, estimate_focal, matrix_from_pose, network_from_square
from human3r.model.network import Encoded, Human3R, NetworkOutput, RecurrentState, Runner
from human3r.model.variants import means
from human3r.streaming.preprocess import (
    crop_from_square,
    download,
    prepare,
    prepare_on_device,
    resize_and_crop,
    resize_and_crop_on_device,
    to_numpy,
)
from human3r.streaming.state import StreamState
from human3r.tracking.tracks import TrackMemory, associate, forget
from human3r.types import (
    BodyParameters,
    Frame,
    FrameEstimate,
    ImageGeometry,
    Intrinsics,
    PersonEstimate,
    check_rgb_image,
)


@dataclass(frozen=True)
class View:
    """One pass through the network. A frame has one view, or two when it ends a segment."""

    output: NetworkOutput
    is_reset: bool
    """The recurrent state was reset after this view."""
    is_overlap: bool
    """The same image again, as the first of the next segment; not part of the results."""
    track_ids: Int[np.ndarray, " people"]
    num_left_out: int
    """Heads seen of people for whom there was no room."""
    segment_from_camera: Float[np.ndarray, "4 4"]
    world_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Prepared:
    """A frame with everything that needs no other frame: the first half of the network's work."""

    stamp_ns: int
    image: np.ndarray | Tensor
    """(height, width, 3) uint8; a tensor where it was made on the device."""
    geometry: ImageGeometry
    encoded: Encoded | None
    """None for a frame that the network does not look at."""
    laps_s: dict[str, float]
    """Wall time per stage."""
    with_scene: bool = True
    """The frame is to get depth, from the network or from elsewhere."""
    with_focal: bool = True
    """The focal length is to be estimated, where the network does not tell it."""
    unseen: str = ""
    """Why nothing is known from the image, see ``FrameEstimate.unseen``."""
    is_repeated: bool = False
    """The image is the one before it to the last bit, so the camera has not moved."""


class StreamSession:
    """Frames in, estimates out, one by one; memory stays flat however long the stream.

    One thread at a time may use a session.

    Args:
        network: in evaluation mode, on its device.
        body_model: on the same device; None leaves joints and vertices empty.
        settings: the network's settings are fixed here, ``apply`` changes the live ones.
        runner: runs the network; sessions that share one share what it has compiled.
        first_session: number of the first session.
        with_people: False leaves the network's human branch out: scene and camera only, no
            person is found and ``person_probability`` is 0.
    """

    def __init__(
        self,
        network: Human3R,
        body_model: BodyModel | None,
        settings: Settings,
        runner: Runner | None = None,
        first_session: int = 0,
        *,
        with_people: bool = True,
    ) -> None:
        self._network = network
        self._human_size_px = network.config.human_size_px if with_people else None
        self._runner = runner or Runner(network, settings.model.execution)
        # Eager runs are those that are compared, so their images are Pillow's to the last bit.
        self._on_device = network.device.type == "cuda" and settings.model.execution != "eager"
        self._body_model = body_model
        self._settings = settings
        self._ttt3r = settings.model.ttt3r
        self._is_placed_by_pixel = means(settings.people.place, "pixel", network.config)
        self._size_px = settings.model.input_size or network.config.input_size_px
        self._state = StreamState(
            self._initial(),
            TrackMemory.empty(network.config.decoder_width),
            session=first_session,
        )

    @property
    def session(self) -> int:
        """Number of the session that the next frame belongs to."""
        return self._state.session

    @property
    def frame_index(self) -> int:
        """Frames processed in this session: the index the next frame gets."""
        return self._state.frame_index

    @property
    def recurrent(self) -> RecurrentState:
        """The network's memory as the next frame finds it."""
        return self._state.recurrent

    @torch.inference_mode()
    def prepare(self, frame: Frame, *, with_network: bool = True) -> Prepared:
        """What can be done about a frame beforehand; another thread may be in ``push`` meanwhile.

        Args:
            frame: of this stream.
            with_network: False for a frame that the network is not to look at.

        Raises:
            InputError: unusable image.
        """
        clock = _Clock()
        image = check_rgb_image(frame.image)
        if not with_network:
            small, geometry = self._reduced(image)
            clock.lap("preprocess")
            return Prepared(int(frame.stamp_ns), small, geometry, None, clock.laps_s)
        prepare_image = prepare_on_device if self._on_device else prepare
        image, geometry, *pixels = prepare_image(
            image, self._size_px, self._human_size_px, self._network.device
        )
        clock.lap("preprocess")
        encoded = self._runner.encode(*pixels)  # pyright: ignore[reportArgumentType]
        clock.lap("network")
        return Prepared(int(frame.stamp_ns), image, geometry, encoded, clock.laps_s)

    @torch.inference_mode()
    def push(
        self,
        frame: Frame | Prepared,
        *,
        update: bool = True,
        with_network: bool = True,
        outputs: Collection[str] = (),
    ) -> FrameEstimate:
        """One frame in, everything known from it out.

        Args:
            frame: newer than the last one and of the same size; as it is, or prepared.
            update: False predicts without taking the frame into the recurrent state.
            with_network: False lets the frame pass without the network: it counts and gives its
                image, and the recurrent state waits for the next one. What is prepared already
                is as it was prepared.
            outputs: ``world`` asks for ``points_world``.

        Raises:
            InputError: unusable image, or its size changed.
            StreamOrderError: a stamp that is not newer.
            NonFiniteError: the network failed on this frame; everything is as before it.
        """
        # Check order and size; resize and encode.
        prepared = self._admitted(frame, with_network)
        if prepared.encoded is None:
            return self._passed(prepared)
        clock = _Clock(prepared.laps_s)
        # Decode with the recurrent state.
        views, state = self._run(prepared, update, outputs, self._settings.people.max_count)
        clock.lap("network")
        # Read off the camera, then the bodies.
        view = views[0]
        focal = estimate_focal(view.output.points_camera)
        clock.lap("geometry")
        if self._is_placed_by_pixel and self._human_size_px is not None:
            view = _placed_by_pixel(view, focal, prepared.geometry, self._human_size_px)
        mesh = self.bodies(view)
        clock.lap("bodies")
        estimate = self._estimate(prepared, view, focal, mesh, update)
        clock.lap("geometry")
        # Nothing failed: keep the new state.
        self._state = state
        estimate.timings_s.update(clock.laps_s)
        return estimate

    @torch.inference_mode()
    def push_views(
        self, frame: Frame, *, update: bool = True, outputs: Collection[str] = ()
    ) -> list[View]:
        """One frame in, the raw answers of the network out: for parity checks and research.

        All people are kept, whatever ``people.max_count`` says.

        Args:
            frame: as in ``push``.
            update: as in ``push``.
            outputs: some of ``network.OPTIONAL_OUTPUTS``.

        Returns:
            The frame's view, and the overlap view when the frame ends a segment.

        Raises:
            InputError, StreamOrderError, NonFiniteError: as in ``push``.
        """
        outputs = {*outputs, "mask"}
        views, self._state = self._run(self._admitted(frame), update, outputs, None)
        return views

    @torch.inference_mode()
    def bodies(self, view: View) -> BodyMesh | None:
        """Joints and vertices of a view's people; None without people or body model."""
        people = view.output.people
        if self._body_model is None or not len(people.betas):
            return None
        return self._body_model(
            people.rotations, people.betas, people.expression, people.head_camera
        )

    def reset(self, keep_world: bool = False) -> None:
        """Forget the recurrent state and begin a new session; image size and clock may change.

        Args:
            keep_world: go on in the same world from the last pose, and remember the people.
                Otherwise the next frame is the origin and all people are new; numbers of people
                are still not used again.
        """
        old = self._state
        width = self._network.config.decoder_width
        self._state = StreamState(
            recurrent=self._initial(),
            tracks=old.tracks if keep_world else TrackMemory.empty(width, old.tracks.next_id),
            session=old.session + 1,
        )
        if keep_world:
            self._state = replace(
                self._state,
                world_from_segment=old.world_from_camera,
                world_from_camera=old.world_from_camera,
            )

    def apply(self, settings: Settings) -> None:
        """Take over the live settings; those of the network stay as built."""
        self._settings = settings

    def save(self, path: str | Path) -> None:
        """Keep everything in a file, from which ``load`` continues bit for bit.

        Raises:
            OutputError: not writable.
        """
        self._state.save(path, self._network.config)

    def load(self, path: str | Path) -> None:
        """Continue from a file; on an error everything stays as it is.

        Raises:
            InputError: unreadable, damaged, or saved with a network of other sizes.
        """
        self._state = StreamState.load(path, self._network)

    @torch.inference_mode()
    def _initial(self) -> RecurrentState:
        return RecurrentState.initial(self._network)

    def _reduced(self, image: np.ndarray) -> tuple[np.ndarray | Tensor, ImageGeometry]:
        if self._on_device:
            return resize_and_crop_on_device(image, self._size_px, self._network.device)
        return resize_and_crop(image, self._size_px)

    def _passed(self, frame: Prepared) -> FrameEstimate:
        """The answer to a frame that the network does not look at: its image, and no scene.

        A reset that is due waits for the next frame that it looks at, which the new segment sees.
        """
        clock, state, geometry = _Clock(frame.laps_s), self._state, frame.geometry
        self._state = _counted(state, frame)
        size = (geometry.height_px, geometry.width_px)
        image = frame.image
        estimate = FrameEstimate(
            stamp_ns=frame.stamp_ns,
            session=state.session,
            frame_index=state.frame_index,
            geometry=geometry,
            image=to_numpy(image) if isinstance(image, Tensor) else image,
            points_camera=np.zeros((*size, 3), np.float32),
            confidence=np.zeros(size, np.float32),
            person_probability=np.zeros(size, np.float32),
            world_from_camera=state.world_from_camera,
            intrinsics=_centred(0.0, geometry),
            people=(),
            has_scene=False,
            is_motion_known=False,
            estimated_focal_px=0.0,
        )
        clock.lap("geometry")
        estimate.timings_s.update(clock.laps_s)
        return estimate

    def _admitted(self, frame: Frame | Prepared, with_network: bool = True) -> Prepared:
        """The frame prepared, if it is the stream's next."""
        if isinstance(frame, Prepared):
            size = (frame.geometry.source_width_px, frame.geometry.source_height_px)
        else:
            size = check_rgb_image(frame.image).shape[1::-1]
        expected = self._state.image_size_px
        if expected is not None and size != expected:
            raise InputError(
                f"image: got {size[0]}x{size[1]} in a stream of {expected[0]}x{expected[1]}; "
                "expected one size within a session. Call reset() before changing it."
            )
        last = self._state.last_stamp_ns
        if last is not None and frame.stamp_ns <= last:
            raise StreamOrderError(
                f"stamp_ns is {frame.stamp_ns}, the last frame's was {last}; expected a newer "
                "frame. Drop late frames, or call reset() when the clock was set back."
            )
        if isinstance(frame, Prepared):
            return frame
        return self.prepare(frame, with_network=with_network)

    def _run(
        self, frame: Prepared, update: bool, outputs: Collection[str], max_people: int | None
    ) -> tuple[list[View], StreamState]:
        """The frame's views, and the state after it; nothing of the session changes yet."""
        state = self._state
        interval = self._settings.session.reset_interval
        is_reset = 0 < interval <= state.frame_index + 1
        tracks = forget(state.tracks, frame.stamp_ns, self._settings.people.forget_s)
        state = replace(state, tracks=tracks)

        view, state = self._view(frame, state, update, outputs, max_people, is_reset=is_reset)
        views = [view]
        state = _counted(replace(state, world_from_camera=view.world_from_camera), frame)
        if is_reset:
            # The next segment begins in this camera, and sees this image first.
            state = replace(
                state,
                recurrent=self._initial(),
                world_from_segment=view.world_from_camera,
                session=state.session + 1,
                frame_index=0,
            )
            overlap, state = self._view(frame, state, update, outputs, max_people, is_overlap=True)
            views.append(overlap)
        return views, state

    def _view(
        self,
        frame: Prepared,
        state: StreamState,
        update: bool,
        outputs: Collection[str],
        max_people: int | None,
        *,
        is_reset: bool = False,
        is_overlap: bool = False,
    ) -> tuple[View, StreamState]:
        output = self._runner.recur(
            frame.encoded,  # pyright: ignore[reportArgumentType]
            state.recurrent.tokens,
            state.recurrent.memory,
            is_first=state.recurrent.is_first,
            min_score=self._settings.people.min_score,
            max_people=max_people,
            with_gate=self._ttt3r,
            outputs=outputs,
        )
        # One transfer, which is also where the host waits for the device.
        found = download(
            {
                "sums": _sums(output),
                "num_people": output.num_people,
                "num_heads": _count_heads(output, self._settings.people.min_score),
                "human_tokens": output.human_tokens,
                "camera_pose": output.camera_pose,
            }
        )
        _check_finite(output, found["sums"])
        output = output.of_people(int(found["num_people"]))
        human_tokens = found["human_tokens"][: len(output.human_tokens)]
        track_ids, tracks = associate(state.tracks, human_tokens, frame.stamp_ns)
        camera_pose = torch.from_numpy(found["camera_pose"]).double()
        segment_from_camera = matrix_from_pose(camera_pose).numpy()
        view = View(
            output=output,
            is_reset=is_reset,
            is_overlap=is_overlap,
            track_ids=track_ids,
            num_left_out=int(found["num_heads"] - found["num_people"]),
            segment_from_camera=segment_from_camera,
            world_from_camera=chain(state.world_from_segment, segment_from_camera),
        )
        recurrent = state.recurrent.after(output, update=update, ttt3r=self._ttt3r)
        return view, replace(state, recurrent=recurrent, tracks=tracks)

    def _estimate(
        self, frame: Prepared, view: View, focal: Tensor, mesh: BodyMesh | None, update: bool
    ) -> FrameEstimate:
        output, geometry = view.output, frame.geometry
        width, height = geometry.width_px, geometry.height_px
        wanted = {
            "points_camera": output.points_camera,
            "confidence": output.confidence,
            "focal": focal,
        }
        if output.person_probability is not None:
            square = output.person_probability
            wanted["person_probability"] = crop_from_square(square, width, height)
        if isinstance(frame.image, Tensor):
            wanted["image"] = frame.image
        if output.points_world is not None:
            wanted["points_world"] = self._points_world(output.points_world)
        wanted |= _people_tensors(view, mesh, geometry, self._network.config.human_size_px)
        host = download(wanted)
        focal_px = float(host["focal"])
        nowhere = np.zeros((height, width), np.float32)
        return FrameEstimate(
            stamp_ns=frame.stamp_ns,
            session=self._state.session,
            frame_index=self._state.frame_index,
            geometry=geometry,
            image=host.get("image", frame.image),  # pyright: ignore[reportArgumentType]
            points_camera=host["points_camera"],
            confidence=host["confidence"],
            person_probability=host.get("person_probability", nowhere),
            world_from_camera=view.world_from_camera,
            intrinsics=_centred(focal_px, geometry),
            people=_people(view, host, geometry),
            num_left_out=view.num_left_out,
            state_updated=update,
            estimated_focal_px=focal_px,
            points_world=host.get("points_world"),
        )

    def _points_world(self, points_segment: Tensor) -> Tensor:
        world_from_segment = torch.from_numpy(self._state.world_from_segment).to(
            points_segment.device, torch.float32
        )
        return points_segment @ world_from_segment[:3, :3].T + world_from_segment[:3, 3]


class _Clock:
    """Wall time of laps; those of one name add up."""

    def __init__(self, laps_s: Mapping[str, float] | None = None) -> None:
        self.laps_s = dict(laps_s or {})
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps_s[name] = self.laps_s.get(name, 0.0) + now - self._last
        self._last = now


def _counted(state: StreamState, frame: Prepared) -> StreamState:
    """The state after one more frame, as far as order goes."""
    return replace(
        state,
        frame_index=state.frame_index + 1,
        last_stamp_ns=frame.stamp_ns,
        image_size_px=(frame.geometry.source_width_px, frame.geometry.source_height_px),
    )


def _centred(focal_px: float, geometry: ImageGeometry) -> Intrinsics:
    """Camera of the network image with its principal point in the middle."""
    width, height = geometry.width_px, geometry.height_px
    return Intrinsics(focal_px, focal_px, width // 2, height // 2, width, height)


def _checked(output: NetworkOutput) -> dict[str, Tensor]:
    """All that leaves the network or enters the state."""
    tensors = {
        "points": output.points_camera,
        "confidence": output.confidence,
        "camera pose": output.camera_pose,
        "person probability": output.person_probability,
        "people's rotations": output.people.rotations,
        "people's betas": output.people.betas,
        "people's expression": output.people.expression,
        "people's places": output.people.head_camera,
        "people's heads": output.detections.head_square_px,
        "human tokens": output.human_tokens,
        "state": output.state,
        "memory": output.memory,
        "gate": output.gate,
        "world points": output.points_world,
        "rgb": output.rgb,
    }
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _count_heads(output: NetworkOutput, min_score: float) -> Int[Tensor, ""]:
    """How many people the network sees, those for whom there is no room included."""
    if output.peaks is None:
        return output.num_people
    return ((output.peaks >= min_score) & (output.peaks > 0)).sum()


def _sums(output: NetworkOutput) -> Float[Tensor, " checked"]:
    """One sum per checked tensor: not finite where any of its numbers is not."""
    return torch.stack([tensor.sum() for tensor in _checked(output).values()])


def _check_finite(output: NetworkOutput, sums: Float[np.ndarray, " checked"]) -> None:
    """Nothing, when all sums are finite.

    Raises:
        NonFiniteError: NaN or infinity; the message names the outputs.
    """
    names = _checked(output)
    broken = [name for name, total in zip(names, sums, strict=True) if not np.isfinite(total)]
    if broken:
        raise NonFiniteError(
            f"the network's {', '.join(broken)} hold NaN or infinity; expected finite numbers. "
            "The stream's state is as before this frame: go on with the next one, or reset; "
            "if it stays so, check the weights file."
        )


def _placed_by_pixel(
    view: View, focal: Float[Tensor, ""], geometry: ImageGeometry, square_px: int
) -> View:
    """The view with every head in the direction of its pixel, at the depth the network gives it.

    As in Multi-HMR, arXiv 2402.14654: a place in the picture and a depth make a place in space. Who
    is not in front of the camera stays where the network says, and so do all without a focal.
    """
    output = view.output
    width, height = geometry.width_px, geometry.height_px
    heads = network_from_square(output.detections.head_square_px, square_px, width, height)
    # From the centre of the first pixel, as the principal point counts.
    directions = (heads - 0.5 - heads.new_tensor((width // 2, height // 2))) / focal
    place = output.people.head_camera
    depth = place[:, 2:]
    moved = torch.cat((directions * depth, depth), dim=1)
    people = replace(
        output.people, head_camera=torch.where((depth > 0) & (focal > 0), moved, place)
    )
    return replace(view, output=replace(output, people=people))


def _people_tensors(
    view: View, mesh: BodyMesh | None, geometry: ImageGeometry, square_px: int
) -> dict[str, Tensor]:
    """What is to be downloaded about people; nothing where there are no people."""
    people, found = view.output.people, view.output.detections
    if not len(view.track_ids):
        return {}
    meshes = {} if mesh is None else {"joints": mesh.joints, "vertices": mesh.vertices}
    return {
        "heads": network_from_square(
            found.head_square_px, square_px, geometry.width_px, geometry.height_px
        ),
        "scores": found.scores,
        "rotations": people.rotations,
        "betas": people.betas,
        "expression": people.expression,
        "head_camera": people.head_camera,
        **meshes,
    }


def _people(
    view: View, host: dict[str, np.ndarray], geometry: ImageGeometry
) -> tuple[PersonEstimate, ...]:
    if not len(view.track_ids):
        return ()
    # The network counts from pixel corners, pixel coordinates from the first pixel's centre.
    heads = geometry.source_from_network(host["heads"] - 0.5).astype(np.float32)
    nothing = np.zeros((len(view.track_ids), 0, 3), np.float32)
    joints, vertices = host.get("joints", nothing), host.get("vertices", nothing)
    return tuple(
        PersonEstimate(
            track_id=int(track_id),
            score=float(host["scores"][i]),
            head_px=heads[i],
            body=BodyParameters(
                *(host[name][i] for name in ("rotations", "betas", "expression", "head_camera"))
            ),
            joints_camera=joints[i],
            vertices_camera=vertices[i],
        )
        for i, track_id in enumerate(view.track_ids)
    )
