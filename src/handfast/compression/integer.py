"""What a quantised network computes, in integers. The generated C gives the same bits on every target."""

import numpy as np

from handfast.compression.floats import Maps, convolve, rearrange
from handfast.compression.quantise import Logits, QuantisedNetwork, Requantisation, Sum, Term

# Integers up to this are exact in float32; NumPy has fast matrix products for floats alone.
_EXACT_IN_FLOAT32 = 2**24


def run_integers(network: QuantisedNetwork, images: np.ndarray) -> Maps:
    """(n, H, W) uint8 -> every map by name, (n, channels, height, width): uint8, the outputs float32.

    All layers run, whatever the early-out would say.
    """
    maps = {network.image: images[:, None]}
    for layer in network.layers:
        maps[layer.target] = _summed(layer, maps) if isinstance(layer, Sum) else rearrange(layer, maps)
    return maps


def integer_logits(network: QuantisedNetwork, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, H, W) uint8 -> heat-map logits (n, 2, K, h, w) and visibility logits (n, 2, 1 + K), float32.

    As of an exported network, image by image: where no hand's presence is above the early-out's threshold,
    heat-maps are zeros.
    """
    maps = run_integers(network, images)
    heatmaps, visibility = maps[network.heatmaps], maps[network.visibility]
    heatmaps = heatmaps.reshape(len(images), 2, network.keypoints_per_hand, *heatmaps.shape[2:])
    visibility = visibility.reshape(len(images), 2, -1)
    if network.early_out_logit is not None:
        may_be_there = (visibility[..., 0] > network.early_out_logit).any(axis=1)
        heatmaps = np.where(may_be_there[:, None, None, None, None], heatmaps, np.float32(0))
    return heatmaps, visibility


def requantise(sums: np.ndarray, requantisation: Requantisation) -> np.ndarray:
    """Sums (n, out, height, width) -> uint8, in steps that every target has an instruction for.

    half = saturate16(sum >> shift); code = saturate8(half x multiplier + 2^14 >> 15). The second is x86's
    pmulhrsw, Arm's sqrdmulh, WebAssembly's q15mulr; USAT with a shift on a Cortex-M.
    """
    halves = np.clip(sums >> requantisation.shift, -(2**15), 2**15 - 1)
    multiplier = requantisation.multiplier.astype(np.int32)[:, None, None]
    return np.clip(halves * multiplier + 2**14 >> 15, 0, 255).astype(np.uint8)


def _summed(layer: Sum, maps: Maps) -> np.ndarray:
    sums = sum(_convolved(term, maps[term.source]) for term in layer.terms) + layer.bias[:, None, None]
    if isinstance(layer.output, Logits):
        return sums.astype(np.float32) * layer.output.scale[:, None, None]
    return requantise(sums, layer.output)


def _convolved(term: Term, source: np.ndarray) -> np.ndarray:
    """(n, out, height, width) int32."""
    sides = ((0, 0), (0, 0), (term.pad, term.pad), (term.pad, term.pad))
    padded = np.pad(source, sides, constant_values=term.zero)
    largest = 255 * np.abs(term.weight.astype(np.int32)).sum(axis=(1, 2, 3)).max()
    number = np.float32 if largest < _EXACT_IN_FLOAT32 else np.float64
    sums = convolve(
        padded.astype(number), term.weight.astype(number), term.groups, term.stride, term.dilation
    )
    return sums.astype(np.int32)
