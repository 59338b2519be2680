"""Who is who from frame to frame: optimal transport between remembered and seen tokens."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

_DUSTBIN_SCORE = -10.0
_SINKHORN_ROUNDS = 20
_MIN_PROBABILITY = 0.2


@dataclass(frozen=True)
class TrackMemory:
    """The people remembered; every change gives a new object.

    Attributes:
        tokens: float32, one row per person as last seen.
        track_ids: their identities.
        seen_ns: stamps of the frames they were last seen in.
        next_id: the next identity to give away; never falls.
    """

    tokens: Float[np.ndarray, "people width"]
    track_ids: Int[np.ndarray, " people"]
    seen_ns: Int[np.ndarray, " people"]
    next_id: int = 0

    @classmethod
    def empty(cls, width: int, next_id: int = 0) -> "TrackMemory":
        """No person remembered."""
        nobody = np.zeros(0, np.int64)
        return cls(np.zeros((0, width), np.float32), nobody, nobody, next_id)

    def __len__(self) -> int:
        return len(self.track_ids)


def associate(
    memory: TrackMemory, tokens: Float[np.ndarray, "people width"], stamp_ns: int
) -> tuple[Int[np.ndarray, " people"], TrackMemory]:
    """Identities of the people of one frame, and the memory after it.

    Args:
        memory: who was seen before.
        tokens: decoded human tokens of the frame, one per person.
        stamp_ns: of the frame.

    Returns:
        Track ids in the order of ``tokens``; the memory with this frame's people first. A frame
        without people changes nothing.
    """
    num_people = len(tokens)
    if num_people == 0:
        return np.zeros(0, np.int64), memory
    tokens = np.asarray(tokens, np.float32)
    track_ids = np.full(num_people, -1, np.int64)
    remembered, seen = match(memory.tokens, tokens)
    track_ids[seen] = memory.track_ids[remembered]
    new = track_ids < 0
    num_new = int(new.sum())
    track_ids[new] = memory.next_id + np.arange(num_new)
    unmatched = np.ones(len(memory), bool)
    unmatched[remembered] = False
    return track_ids, TrackMemory(
        tokens=np.concatenate((tokens, memory.tokens[unmatched])),
        track_ids=np.concatenate((track_ids, memory.track_ids[unmatched])),
        seen_ns=np.concatenate(
            (np.full(num_people, stamp_ns, np.int64), memory.seen_ns[unmatched])
        ),
        next_id=memory.next_id + num_new,
    )


def forget(memory: TrackMemory, stamp_ns: int, forget_s: float) -> TrackMemory:
    """The memory without people unseen for longer than ``forget_s``; 0 keeps all.

    A person last seen in the future, as after a jump of the clock, counts as seen now.
    """
    if forget_s == 0 or len(memory) == 0:
        return memory
    seen_ns = np.minimum(memory.seen_ns, stamp_ns)
    kept = stamp_ns - seen_ns <= round(forget_s * 1e9)
    return TrackMemory(memory.tokens[kept], memory.track_ids[kept], seen_ns[kept], memory.next_id)


def match(
    remembered: Float[np.ndarray, "known width"], seen: Float[np.ndarray, "people width"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Rows of ``remembered`` and of ``seen`` that belong together, at most one of each."""
    if not len(remembered) or not len(seen):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    scores = -cdist(remembered.astype(np.float64), seen.astype(np.float64))
    log_plan = log_transport(scores, _DUSTBIN_SCORE)[:-1, :-1]
    best_seen = log_plan.argmax(axis=1)
    best_remembered = log_plan.argmax(axis=0)
    rows = np.arange(len(remembered))
    mutual = best_remembered[best_seen] == rows
    likely = log_plan[rows, best_seen] > np.log(_MIN_PROBABILITY)
    pairs = rows[mutual & likely]
    return pairs, best_seen[pairs]


def log_transport(
    scores: Float[np.ndarray, "rows columns"],
    dustbin_score: float,
    rounds: int = _SINKHORN_ROUNDS,
) -> Float[np.ndarray, "rows_and_bin columns_and_bin"]:
    """Logarithm of the transport plan between rows and columns, with a dustbin on each side.

    Every row and column has mass 1, each dustbin the mass of the whole other side.

    Source: Sinkhorn 1967 in the log domain; dustbins: Sarlin et al. 2020, "SuperGlue", eq. 8-10.
    """
    num_rows, num_columns = scores.shape
    couplings = np.pad(scores.astype(np.float64), ((0, 1), (0, 1)), constant_values=dustbin_score)
    norm = -np.log(num_rows + num_columns)
    log_row_mass = np.full(num_rows + 1, norm)
    log_row_mass[-1] += np.log(num_columns)
    log_column_mass = np.full(num_columns + 1, norm)
    log_column_mass[-1] += np.log(num_rows)
    u, v = np.zeros(num_rows + 1), np.zeros(num_columns + 1)
    for _ in range(rounds):
        u = log_row_mass - _log_sum_exp(couplings + v, axis=1)
        v = log_column_mass - _log_sum_exp(couplings + u[:, None], axis=0)
    return couplings + u[:, None] + v - norm


def _log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    """As SciPy's ``logsumexp``, whose checks take a hundred times longer at these sizes."""
    largest = x.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - largest).sum(axis=axis)) + largest.squeeze(axis)
