"""Between key-points and what a net predicts: encode and decode side by side."""

import numpy as np

_WINDOW_RADIUS = (
    3  # cells; 7 x 7 holds nearly all of a Gaussian with the sigma of about one cell used in training
)


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
    """Heat-map logits (..., H, W) -> map pixels (..., 2) and scores (...), both float32.

    The key-point is the mean of the map's softmax within 7 x 7 cells around its maximum; the score, 0..1, is
    the probability that these cells hold. Within 3 cells of the border the window is cut and the mean leans
    inwards.
    """
    *leading, height, width = logits.shape
    maps = logits.reshape(-1, height * width)
    n = np.arange(len(maps))
    peak = maps.argmax(axis=1)
    probability = np.exp(maps - maps[n, peak][:, None])
    total = probability.sum(axis=1)

    offsets = np.arange(-_WINDOW_RADIUS, _WINDOW_RADIUS + 1)
    rows = (peak // width)[:, None] + offsets
    columns = (peak % width)[:, None] + offsets
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    cells = rows.clip(0, height - 1)[:, :, None] * width + columns.clip(0, width - 1)[:, None, :]
    window = probability[n[:, None, None], cells] * inside

    mass = window.sum(axis=(1, 2))
    x = (window.sum(axis=1) * columns).sum(axis=1) / mass
    y = (window.sum(axis=2) * rows).sum(axis=1) / mass
    points_px = np.stack([x, y], axis=-1).astype(np.float32)
    return points_px.reshape(*leading, 2), (mass / total).astype(np.float32).reshape(leading)
