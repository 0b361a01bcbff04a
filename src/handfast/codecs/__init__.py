"""Between key-points and what nets predict: encode and decode side by side. ``codecs.dense`` is apart, since
it needs numba's compiler."""

from handfast.codecs.heatmaps import (
    decode_expected,
    decode_heatmaps,
    decode_probabilities,
    gaussian_targets,
    input_to_map,
    map_to_input,
    probabilities,
)

__all__ = [
    "decode_expected",
    "decode_heatmaps",
    "decode_probabilities",
    "gaussian_targets",
    "input_to_map",
    "map_to_input",
    "probabilities",
]
