"""Key-points as heat-maps, and back."""

import numpy as np

# Cells; 7 x 7 holds nearly all of a Gaussian with the sigma of about one cell used in training.
_WINDOW_RADIUS = 3
# A heat-map already knows something of what is expected: so much wider is taken what others say. And they may
# be wrong together. Both chosen on held-out synthetic people.
_EXPECTED_LOOSER, _UNEXPECTED = 4.0, 0.1


def input_to_map(points_px: np.ndarray, stride: int) -> np.ndarray:
    """Input pixels (..., 2) -> pixels of a map ``stride`` times smaller; centres at integers in both."""
    return (points_px - (stride - 1) / 2) / stride


def map_to_input(points_px: np.ndarray, stride: int) -> np.ndarray:
    """The inverse of ``input_to_map``: x_input = stride * x_map + (stride - 1) / 2."""
    return points_px * stride + (stride - 1) / 2


def gaussian_targets(points_px: np.ndarray, height: int, width: int, sigma_px: float) -> np.ndarray:
    """Map pixels (..., 2) -> (..., height, width) float32, a Gaussian each that sums to one over the map."""
    columns = _gaussian(points_px[..., 0], width, sigma_px)
    rows = _gaussian(points_px[..., 1], height, sigma_px)
    return (rows[..., :, None] * columns[..., None, :]).astype(np.float32)


def _gaussian(centre_px: np.ndarray, size: int, sigma_px: float) -> np.ndarray:
    exponent = -0.5 * ((np.arange(size) - centre_px[..., None]) / sigma_px) ** 2
    weights = np.exp(exponent - exponent.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def decode_heatmaps(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heat-map logits (..., H, W) -> map pixels (..., 2) and scores (...), both float32: those of
    ``decode_probabilities``."""
    return decode_probabilities(probabilities(logits))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Heat-map logits (..., H, W) -> probabilities of the cells, float32 as they are, one over each map."""
    probability = logits - logits.max(axis=(-2, -1), keepdims=True)
    np.exp(probability, out=probability)
    probability /= probability.sum(axis=(-2, -1), keepdims=True)
    return probability


def decode_probabilities(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (..., H, W), one over each map -> map pixels (..., 2) and scores (...), both float32.

    The key-point is the mean within 7 x 7 cells around the maximum; the score, 0..1, is the probability that
    these cells hold. Within 3 cells of the border the window is cut and the mean leans inwards.
    """
    *leading, height, width = maps.shape
    flat = maps.reshape(-1, height * width)
    n = np.arange(len(flat))
    peak = flat.argmax(axis=1)
    offsets = np.arange(-_WINDOW_RADIUS, _WINDOW_RADIUS + 1)
    rows = (peak // width)[:, None] + offsets
    columns = (peak % width)[:, None] + offsets
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    cells = rows.clip(0, height - 1)[:, :, None] * width + columns.clip(0, width - 1)[:, None, :]
    window = flat[n[:, None, None], cells] * inside

    mass = window.sum(axis=(1, 2))
    x = (window.sum(axis=1) * columns).sum(axis=1) / mass
    y = (window.sum(axis=2) * rows).sum(axis=1) / mass
    points_px = np.stack([x, y], axis=-1).astype(np.float32)
    return points_px.reshape(*leading, 2), mass.astype(np.float32).reshape(leading)


def decode_expected(
    maps: np.ndarray, means_px: np.ndarray, covariances_px2: np.ndarray, taken: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities (K, H, W) -> map pixels (K, 2) float32, where each key-point is most likely when
    something else lets expect it about a mean (K, 2), with a covariance (K, 2, 2).

    taken (H, W) bool: cells that are something else's, where none is unless it is expected there.

    As ``decode_probabilities`` of the maps times these Gaussians. A sharp peak stays as it is; of several,
    the one nearer to what is expected wins.
    """
    _, height, width = maps.shape
    (xx, xy), (_, yy) = np.moveaxis(np.linalg.inv(covariances_px2 * _EXPECTED_LOOSER), 0, -1)
    dx = np.arange(width) - means_px[:, :1]
    dy = np.arange(height) - means_px[:, 1:]
    # The square completed: xx (dx + xy / xx dy)^2 + (yy - xy^2 / xx) dy^2.
    along = (dx * np.sqrt(xx)[:, None]).astype(np.float32)[:, None, :]
    slant = (dy * (xy / np.sqrt(xx))[:, None]).astype(np.float32)[:, :, None]
    across = np.exp(-0.5 * dy**2 * (yy - xy**2 / xx)[:, None]).astype(np.float32)[:, :, None]
    likely = along + slant
    likely *= likely
    likely *= np.float32(-0.5)
    np.exp(likely, out=likely)
    likely *= across
    likely += np.float32(_UNEXPECTED) if taken is None else np.where(taken, 0, np.float32(_UNEXPECTED))
    likely *= maps
    return decode_probabilities(likely)[0]
