"""Weights of 8-bit steps in the order in which the kernels read them, as 32-bit words."""

from dataclasses import replace

import numpy as np

from handfast.compression.quantise import Logits, Requantisation, phase_weights
from handfast.export.c.byte_steps import QUAD, ByteSum, PointLogits, Rows, StemPool, Step, UpsampledSum

SAME_LEFT_RIGHT = [1, 0, 2]  # the columns of a kernel as they are read: what needs no mask first
# Up to so much more than it needs an output takes, to take it with others.
MOST_SHARED = 1.5


def pack(step: Step, pixel_offset: int) -> np.ndarray | None:
    """(n,) uint32 as the kernel's header says, or None for a step without weights.

    pixel_offset: what the target takes from every byte before it multiplies; biases make up for it.
    """
    if not isinstance(step, StemPool | ByteSum | UpsampledSum | PointLogits):
        return None
    if pixel_offset:
        sums = (np.sum(w.reshape(len(w), -1), axis=1, dtype=np.int32) for w in _weights(step))
        step = replace(step, bias=step.bias + pixel_offset * sum(sums))
    match step:
        case StemPool():
            return _pack_stem(step)
        case ByteSum():
            return _pack_sum(step)
        case UpsampledSum(output=Logits(scale)):
            words = [_words(np.stack([step.bias, scale.view(np.int32)], 1)), _phase_words(step)]
            return np.concatenate([words[0].reshape(-1, 2), words[1]], axis=1).ravel()
        case UpsampledSum():
            return _pack_upsampled(step)
        case PointLogits():
            weight = _bytes_to_words(_to_quads(step.weight, 1))
            facts = _words(np.stack([step.bias, step.output.scale.view(np.int32)], 1)).reshape(-1, 2)
            return np.concatenate([facts, weight], axis=1).ravel()


def _weights(step: StemPool | ByteSum | UpsampledSum | PointLogits) -> list[np.ndarray]:
    """All of a step's, (out, ...) each."""
    if isinstance(step, StemPool | PointLogits):
        return [step.weight]
    points = [rows.weight for rows in step.points]
    own = step.weight if isinstance(step, UpsampledSum) else step.three and step.three.weight
    return points if own is None else [own, *points]


def point_kind(rows: Rows) -> str:
    """How the kernel takes a 1x1 convolution's inputs, a constant of sums.h."""
    weight = rows.weight[:, :, 0, 0]
    if weight.shape[0] == weight.shape[1] and np.array_equal(weight, np.diag(np.diag(weight))):
        return "SELF"
    alone, together = _point_quads(rows)
    return "SHARED" if together <= MOST_SHARED * alone else "APART"


def point_quads(rows: Rows) -> int:
    """From how many quads of the source an output comes, at most; a quad of outputs, if these are shared."""
    alone, together = _point_quads(rows)
    return together if point_kind(rows) == "SHARED" else alone


def _point_quads(rows: Rows) -> tuple[int, int]:
    """How many an output sees, at most, and a quad of outputs."""
    first, last = _support(_to_quads(rows.weight, 0))
    quads = last.reshape(-1, QUAD).max(axis=1) - first.reshape(-1, QUAD).min(axis=1)
    return int((last - first).max()) + 1, int(quads.max()) + 1


def _pack_stem(step: StemPool) -> np.ndarray:
    weight = np.zeros((_quads(len(step.bias)) * QUAD, 3, 4), np.int8)
    weight[: len(step.bias), :, :3] = step.weight
    words = _bytes_to_words(weight).reshape(-1, QUAD, 3).swapaxes(1, 2)  # [quad][row][output]
    return np.concatenate([_facts(step), words.reshape(len(words), -1)], axis=1).ravel()


def _pack_sum(step: ByteSum) -> np.ndarray:
    parts = []
    for quad, facts in enumerate(_facts(step)):
        own = slice(quad * QUAD, quad * QUAD + QUAD)
        parts.append(facts)
        if step.three is not None:
            parts += _pack_three(_to_quads(step.three.weight, 0)[own])
        for rows in step.points:
            weight = _to_quads(_to_quads(rows.weight[:, :, 0, 0], 0), 1)[own]
            parts += _pack_point(weight, point_kind(rows), point_quads(rows), own)
    return np.concatenate(parts)


def _pack_three(weight: np.ndarray) -> list[np.ndarray]:
    """Of four outputs, (4, in, 3, 3)."""
    halves = [_support(half) for half in (weight[:2], weight[2:])]
    (begin, middle), (end, last) = ((first.min(), last.max()) for first, last in halves)
    if middle < end or begin > end or middle > last:  # not one after the other: all see all
        begin, end, middle, last = min(begin, end), min(begin, end), max(middle, last), max(middle, last)
    by_tap = _to_quads(weight, 1).transpose(3, 2, 0, 1)[SAME_LEFT_RIGHT]
    words = _bytes_to_words(by_tap)  # [column][row][output][quad]
    seen = [
        words[column, row, outputs, quad]
        for column in range(3)
        for quads, outputs in (
            (range(begin, end), slice(0, 2)),
            (range(end, middle + 1), slice(0, 4)),
            (range(middle + 1, last + 1), slice(2, 4)),
        )
        for quad in quads
        for row in range(3)
    ]
    return [np.uint32([begin | end - begin << 8 | middle + 1 - end << 16 | last - middle << 24]), *seen]


def _pack_point(weight: np.ndarray, kind: str, count: int, own: slice) -> list[np.ndarray]:
    """Of four outputs, (4, in)."""
    if kind == "SELF":
        return [_bytes_to_words(np.diag(weight[:, own]))]
    words = _bytes_to_words(weight)
    first, _ = _support(weight)
    first = np.minimum(first, words.shape[1] - count)
    if kind == "SHARED":
        begin = first.min()
        return [np.uint32([begin]), words[:, begin : begin + count].T.ravel()]
    chosen = [words[output, begin : begin + count] for output, begin in enumerate(first)]
    return [_bytes_to_words(first.astype(np.uint8)), *chosen]


def _pack_upsampled(step: UpsampledSum) -> np.ndarray:
    parts = []
    phases = _phase_words(step).reshape(-1, QUAD, 4).swapaxes(1, 2)  # [quad][phase][channel]
    for quad, facts in enumerate(_facts(step)):
        parts += [facts, phases[quad].ravel()]
        for rows in step.points:
            weight = _to_quads(rows.weight[..., 0, 0], 0)[quad * QUAD : quad * QUAD + QUAD]
            first, last = _support(weight)
            begin, end = first.min(), last.max() + 1
            words = _bytes_to_words(_to_quads(weight, 1).reshape(QUAD, -1, QUAD))[:, begin:end]
            parts += [np.uint32([begin | (end - begin) << 16]), words.T.ravel()]
    return np.concatenate(parts)


def _phase_words(step: UpsampledSum) -> np.ndarray:
    """(outputs, 4) words of 2x2 weights, column by column, for [odd row][odd column]; outputs fill quads
    unless they are logits."""
    phases = phase_weights(step.weight[:, None].astype(np.int32))[:, :, 0]
    words = _bytes_to_words(phases.transpose(1, 0, 3, 2).reshape(len(step.weight), 16).astype(np.int8))
    return words if isinstance(step.output, Logits) else _to_quads(words, 0)


def _facts(step: StemPool | ByteSum | UpsampledSum) -> np.ndarray:
    """(quads, 6): four biases and four 16-bit multipliers."""
    assert isinstance(step.output, Requantisation)
    bias = _words(_to_quads(step.bias, 0)).reshape(-1, QUAD)
    multiplier = _to_quads(step.output.multiplier, 0).view(np.uint32).reshape(-1, 2)
    return np.concatenate([bias, multiplier], axis=1)


def _support(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and last quad of inputs, (out, in, ...), that each output sees; 0 where it sees none."""
    used = np.abs(weight.astype(np.int16)).reshape(*weight.shape[:2], -1).any(axis=2)
    channels = np.arange(used.shape[1])
    last = np.where(used, channels, 0).max(axis=1) // QUAD
    first = np.where(used, channels, used.shape[1]).min(axis=1) // QUAD
    return np.minimum(first, last), last


def _quads(channels: int) -> int:
    return -(-channels // QUAD)


def _to_quads(values: np.ndarray, axis: int) -> np.ndarray:
    """Zeros for the channels that a last quad lacks."""
    sides = [(0, 0)] * values.ndim
    sides[axis] = (0, -values.shape[axis] % QUAD)
    return np.pad(values, sides)


def _bytes_to_words(weight: np.ndarray) -> np.ndarray:
    """(..., 4 n) int8 -> (..., n) uint32, the first byte lowest."""
    return np.ascontiguousarray(weight).view("<u4")


def _words(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, "<i4").view("<u4").ravel()
