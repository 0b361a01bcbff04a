"""An amplitude-modulated continuous-wave time-of-flight sensor: surfaces -> phase images -> amplitude, depth.

The light that a surface at distance r sends back at modulation frequency f is a phasor of angle
4 pi f r / c. A pixel correlates it with N shifted copies of the modulation (the taps); the phase images
give the angle back, and the angle the distance, up to whole turns. All light is counted in electrons.

The path of a frame is ``capture``: phasors -> phase_images -> amplitude_image and depth_from_phases.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.jit import jit

SPEED_OF_LIGHT_M_S = 299_792_458.0
MAX_WRAPS = 64  # more candidates than this lie closer together than any sensor's noise
_DIAGONAL = 1 / math.sqrt(8)  # (I + Q) / sqrt(2), with I = (tap0 - tap180) / 2, Q = (tap90 - tap270) / 2


@dataclass(frozen=True)
class ToFSensor:
    """What one sensor does to the light; the camera (lens and pixels) is given apart.

    frequencies_hz: one modulation frequency, or two in rising order, whole hertz.
    amplitude_coefficients: one per tap; tap k of N is shifted by k / N of a turn. The amplitude image is
        this linear combination of the phase images (section 3) of ``amplitude_frequency``. The default,
        (I + Q) / sqrt(2), is also a range gate: positive up to 3/8 of a wrap, then black.
    signal_electrons: what a white surface at 1 m that faces the sensor returns per phase image, exposure 1.
    ambient_electrons: unmodulated light per tap, exposure 1. exposure: scales both.
    modulation_contrast: share of the returned light that follows the modulation.
    halo_strength, halo_radius_px: share of the light that scatters inside the lens, and how far (sigma).
    lens_shading_power: light falls with this power of the cosine between ray and optical axis.
    gain_nonuniformity, delay_nonuniformity_m: fixed pattern noise: sigma over the pixels of their relative
        gain and of their error of distance. fixed_pattern_seed: which specimen of the sensor.
    confidence_electrons: depth is trusted where the modulation's amplitude is above this.
    white_electrons, white_percentile: exposure rule of the 8-bit amplitude image: 255 stands for
        white_electrons, or for the percentile of the frame if that is more; None keeps the gain fixed.

    Raises HandfastError for a value outside its range.
    """

    frequencies_hz: tuple[float, ...] = (60e6, 80e6)
    amplitude_coefficients: tuple[float, ...] = (_DIAGONAL, _DIAGONAL, -_DIAGONAL, -_DIAGONAL)
    amplitude_frequency: int = 0
    signal_electrons: float = 4_000.0
    ambient_electrons: float = 1_000.0
    exposure: float = 1.0
    modulation_contrast: float = 0.8
    full_well_electrons: float = 50_000.0
    read_noise_electrons: float = 20.0
    halo_strength: float = 0.03
    halo_radius_px: float = 12.0
    lens_shading_power: float = 4.0
    gain_nonuniformity: float = 0.01
    delay_nonuniformity_m: float = 0.002
    fixed_pattern_seed: int = 0
    confidence_electrons: float = 60.0
    white_electrons: float = 2_000.0
    white_percentile: float | None = 99.0

    def __post_init__(self) -> None:
        # Lists, as a configuration file gives them, would not hash.
        object.__setattr__(self, "frequencies_hz", tuple(self.frequencies_hz))
        object.__setattr__(self, "amplitude_coefficients", tuple(self.amplitude_coefficients))
        f = self.frequencies_hz
        rising = len(f) in (1, 2) and list(f) == sorted(set(f))
        if not (rising and all(x > 0 and float(x).is_integer() for x in f)):
            raise HandfastError(
                f"frequencies_hz: expected one frequency or two in rising order, in whole Hz > 0, got {f}"
            )
        if self.wraps[-1] > MAX_WRAPS:
            raise HandfastError(
                f"frequencies_hz: expected f2 / gcd(f1, f2) <= {MAX_WRAPS} to unwrap with, "
                f"got {self.wraps[-1]} from {f}; choose frequencies with a larger common divisor"
            )
        if len(self.amplitude_coefficients) < 3 or not np.isfinite(self.amplitude_coefficients).all():
            raise HandfastError(
                "amplitude_coefficients: expected one finite number per tap, 3 taps or more, "
                f"got {self.amplitude_coefficients}"
            )
        if self.amplitude_frequency not in range(len(f)):
            raise HandfastError(
                f"amplitude_frequency: expected an index into {len(f)} frequencies, "
                f"got {self.amplitude_frequency}"
            )
        for name in (
            "signal_electrons",
            "exposure",
            "full_well_electrons",
            "halo_radius_px",
            "white_electrons",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise HandfastError(f"{name}: expected a number > 0, got {getattr(self, name)}")
        for name in (
            "ambient_electrons",
            "read_noise_electrons",
            "lens_shading_power",
            "gain_nonuniformity",
            "delay_nonuniformity_m",
            "fixed_pattern_seed",
            "confidence_electrons",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise HandfastError(f"{name}: expected a number >= 0, got {getattr(self, name)}")
        if not 0 <= self.halo_strength < 1:
            raise HandfastError(f"halo_strength: expected 0 <= share < 1, got {self.halo_strength}")
        if not 0 < self.modulation_contrast <= 1:
            raise HandfastError(
                f"modulation_contrast: expected 0 < share <= 1, got {self.modulation_contrast}"
            )
        if self.white_percentile is not None and not 0 < self.white_percentile <= 100:
            raise HandfastError(f"white_percentile: expected 0 < percent <= 100, got {self.white_percentile}")

    @property
    def tap_phases_rad(self) -> np.ndarray:
        """(taps,) phase shift of each tap."""
        taps = len(self.amplitude_coefficients)
        return 2 * np.pi * np.arange(taps) / taps

    @property
    def wraps(self) -> tuple[int, ...]:
        """How often each frequency wraps within the unambiguous distance: f / gcd."""
        return tuple(int(f) // self._common_hz for f in self.frequencies_hz)

    @property
    def unambiguous_distance_m(self) -> float:
        """Distance (along the ray) at which the measurement starts again from zero."""
        return SPEED_OF_LIGHT_M_S / (2 * self._common_hz)

    @property
    def _common_hz(self) -> int:
        return math.gcd(*(int(f) for f in self.frequencies_hz))


def capture(
    sensor: ToFSensor,
    camera: Camera,
    depth_m: np.ndarray,
    cos_incidence: np.ndarray,
    albedo: np.ndarray,
    rng: np.random.Generator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """What the sensor delivers of a rendered scene: amplitude (H, W) uint8, depth (H, W) uint16 mm along z.

    Takes what ``phasors`` takes, raises what it raises. Depth 0 = no value. rng None = no shot or read noise.
    """
    phases = phase_images(sensor, camera, phasors(sensor, camera, depth_m, cos_incidence, albedo), rng)
    depth_mm = depth_from_phases(sensor, camera, phases) * np.float32(1000)
    depth_mm = np.minimum(np.rint(depth_mm), np.iinfo(np.uint16).max).astype(np.uint16)
    return amplitude_image(sensor, phases), depth_mm


def phasors(
    sensor: ToFSensor, camera: Camera, depth_m: np.ndarray, cos_incidence: np.ndarray, albedo: np.ndarray
) -> np.ndarray:
    """The light that comes back to each pixel: (1 + F, H, W) complex64 electrons.

    Row 0 is frequency zero, all of the light; row 1 + i belongs to ``frequencies_hz[i]``. H x W is the size
    of ``camera``. The light falls with the square of the distance along the ray.

    depth_m, cos_incidence, albedo: (kH, kW), k >= 1 a whole number, rendered with
    ``camera.warped(fit_affine(W, H, k * W, k * H), k * W, k * H)``; the k x k phasors under a pixel are
    averaged, which makes the flying pixels at edges. Depth is along z, 0 or not finite = nothing there.
    cos_incidence is between the surface's normal and the way back to the sensor; below 0 counts as 0.

    Raises HandfastError if the three differ in shape or are no multiple of the camera's size.
    """
    factor = depth_m.shape[0] // camera.height
    size = (factor * camera.height, factor * camera.width)
    if factor < 1 or any(image.shape != size for image in (depth_m, cos_incidence, albedo)):
        raise HandfastError(
            "time-of-flight render: expected depth, cosine and albedo of one size, a whole multiple of "
            f"{camera.height} x {camera.width}, got {depth_m.shape}, {cos_incidence.shape}, {albedo.shape}"
        )
    there = (depth_m > 0) & (depth_m < np.inf)
    distance_m = np.where(there, depth_m, 1).astype(np.float32) * _ray_lengths(camera, factor)
    electrons = np.where(there, np.maximum(cos_incidence, 0) * albedo, 0) / distance_m**2
    electrons = electrons.astype(np.float32) * np.float32(sensor.exposure * sensor.signal_electrons)

    def averaged(image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)

    out = np.zeros((1 + len(sensor.frequencies_hz), camera.height, camera.width), np.complex64)
    out[0].real = averaged(electrons)
    for phasor, frequency_hz in zip(out[1:], sensor.frequencies_hz, strict=True):
        angle_rad = distance_m * np.float32(4 * np.pi * frequency_hz / SPEED_OF_LIGHT_M_S)
        phasor.real = averaged(electrons * np.cos(angle_rad))
        phasor.imag = averaged(electrons * np.sin(angle_rad))
    return out


def phase_images(
    sensor: ToFSensor, camera: Camera, light: np.ndarray, rng: np.random.Generator | None
) -> np.ndarray:
    """What each tap collects: (F, taps, H, W) float32 electrons, clipped at the full well.

    light: (1 + F, H, W) as from ``phasors``. Adds the halo of the lens, its shading, the fixed pattern, the
    ambient light and, given an rng, shot and read noise (as Gaussians). The black level is taken off, so
    noise can make a dark pixel negative.
    """
    response = _pixel_response(sensor, camera)
    # A tap is open for half of the time, so it collects half of the light.
    light = _with_halo(light, sensor.halo_strength, sensor.halo_radius_px) * response * np.float32(0.5)
    everything = light[0].real + np.float32(sensor.exposure * sensor.ambient_electrons)
    taps = np.empty((len(light) - 1, len(sensor.amplitude_coefficients), *light.shape[1:]), np.float32)
    for phasor, images in zip(light[1:], taps, strict=True):
        re, im = np.float32(sensor.modulation_contrast) * np.stack([phasor.real, phasor.imag])
        for image, phase_rad in zip(images, sensor.tap_phases_rad, strict=True):
            collected = everything + re * np.float32(np.cos(phase_rad)) + im * np.float32(np.sin(phase_rad))
            if rng is not None:
                words = rng.integers(2**64, size=image.size, dtype=np.uint64)
                _add_noise(collected.ravel(), words, np.float32(sensor.read_noise_electrons**2))
            np.minimum(collected, np.float32(sensor.full_well_electrons), out=image)
    return taps


def amplitude_image(sensor: ToFSensor, phases: np.ndarray) -> np.ndarray:
    """The sensor's linear combination of phase images (section 3): (F, taps, H, W) electrons -> (H, W) uint8.

    Negative sums, beyond the range gate, are black. White follows the sensor's exposure rule.
    """
    weights = np.array(sensor.amplitude_coefficients, np.float32)
    image = np.tensordot(weights, phases[sensor.amplitude_frequency], 1)
    white = sensor.white_electrons
    if sensor.white_percentile is not None:
        brightest = int((image.size - 1) * sensor.white_percentile / 100)
        white = max(white, float(np.partition(image, brightest, axis=None)[brightest]))
    return np.clip(np.rint(image * np.float32(255 / white)), 0, 255).astype(np.uint8)


def depth_from_phases(sensor: ToFSensor, camera: Camera, phases: np.ndarray) -> np.ndarray:
    """(F, taps, H, W) electrons -> (H, W) float32 metres along z.

    The phases measure the distance along the ray; the camera turns it into z. 0 where a tap is saturated or
    where the amplitude at some frequency does not exceed ``confidence_electrons``. Surfaces beyond
    ``unambiguous_distance_m`` come back nearer by whole multiples of it.
    """
    weights = np.stack([np.cos(sensor.tap_phases_rad), np.sin(sensor.tap_phases_rad)]).astype(np.float32)
    i, q = np.tensordot(weights, phases, (1, 1)) * np.float32(2 / weights.shape[1])
    trusted = (i * i + q * q > sensor.confidence_electrons**2).all(0)
    trusted &= (phases < sensor.full_well_electrons).all((0, 1))
    turns = np.arctan2(q, i) * np.float32(1 / (2 * np.pi))
    turns -= np.floor(turns)
    share = _unwrap(turns[0], turns[-1], sensor.wraps[0], sensor.wraps[-1])
    distance_m = np.where(trusted, share * np.float32(sensor.unambiguous_distance_m), 0)
    return distance_m / _ray_lengths(camera, 1)


@jit(error_model="numpy")
def _unwrap(first_turns, last_turns, first_wraps, last_wraps):
    """Share of the unambiguous distance, from the turns in [0, 1) that two frequencies show.

    Tries every number of whole turns that the higher frequency can have made, exactly f2 / gcd of them,
    and keeps the one that the lower frequency agrees with best. The mean weighs both by precision, f^2.
    One frequency counts as a pair of equals.
    """
    low, high = np.float32(first_wraps), np.float32(last_wraps)
    firsts, lasts = first_turns.ravel(), last_turns.ravel()
    share, least = np.zeros_like(lasts), np.full_like(lasts, np.inf)
    for whole in range(last_wraps):
        for n in range(len(lasts)):
            last = lasts[n] + np.float32(whole)
            expected = last * (low / high)
            first = firsts[n] + np.rint(expected - firsts[n])
            miss = abs(expected - first)
            better = miss < least[n]
            least[n] = miss if better else least[n]
            share[n] = first * low + last * high if better else share[n]
    share /= low * low + high * high
    return share.reshape(last_turns.shape)


# Eight random bytes have this sum on average, and this is one over its deviation.
_BYTES_MEAN, _BYTES_PER_SIGMA = np.float32(8 * 255 / 2), np.float32((8 * (256**2 - 1) / 12) ** -0.5)


@jit(error_model="numpy")
def _add_noise(electrons, words, read_variance):
    """Shot and read noise, in place. electrons: (N,) float32. words: (N,) random uint64.

    A sum of eight random bytes is as good as a Gaussian within 4.9 sigma, and takes a third of the time.
    """
    count = len(electrons)
    lots = words.view(np.uint8)
    for n in range(count):
        total = 0
        for byte in range(8):
            total += lots[byte * count + n]
        gaussian = (np.float32(total) - _BYTES_MEAN) * _BYTES_PER_SIGMA
        variance = max(electrons[n], np.float32(0)) + read_variance
        electrons[n] += np.sqrt(variance) * gaussian


@lru_cache(maxsize=32)
def _ray_lengths(camera: Camera, factor: int) -> np.ndarray:
    """(kH, kW) float32: distance along the ray per z, for an image k times the camera's."""
    x = _slopes(factor * camera.width, factor, camera.cx, camera.fx)
    y = _slopes(factor * camera.height, factor, camera.cy, camera.fy)
    return np.sqrt(1 + x**2 + y[:, None] ** 2).astype(np.float32)


def _slopes(size: int, factor: int, centre_px: float, focal_px: float) -> np.ndarray:
    """x / z (or y / z) of the rays through each column (or row) of an image `factor` times the camera's."""
    return ((np.arange(size) - (factor - 1) / 2) / factor - centre_px) / focal_px


def _with_halo(light: np.ndarray, strength: float, radius_px: float) -> np.ndarray:
    """Moves a share of the light onto a wide Gaussian, worked out on a smaller image for speed."""
    if strength == 0:
        return light
    height, width = light.shape[1:]
    shrink = max(1.0, radius_px / 2)
    small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    out = np.empty_like(light)
    for phasor, target in zip(light, out, strict=True):
        channels = phasor.view(np.float32).reshape(height, width, 2)  # real, imaginary
        glow = cv2.resize(channels, small, interpolation=cv2.INTER_AREA)
        glow = cv2.GaussianBlur(glow, (0, 0), radius_px / shrink, borderType=cv2.BORDER_REPLICATE)
        glow = cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)
        mixed = cv2.addWeighted(channels, 1 - strength, glow, strength, 0)
        target[:] = mixed.view(np.complex64)[..., 0]
    return out


def _pixel_response(sensor: ToFSensor, camera: Camera) -> np.ndarray:
    """(1 + F, H, W) complex64: by what each pixel multiplies the phasors: shading, own gain, own delay."""
    gain, delay = _fixed_pattern(
        (camera.height, camera.width),
        sensor.frequencies_hz,
        sensor.gain_nonuniformity,
        sensor.delay_nonuniformity_m,
        sensor.fixed_pattern_seed,
    )
    shading = _ray_lengths(camera, 1) ** -sensor.lens_shading_power
    return (shading * gain * delay).astype(np.complex64)


@lru_cache(maxsize=32)
def _fixed_pattern(
    size: tuple[int, int],
    frequencies_hz: tuple[float, ...],
    gain_sigma: float,
    delay_sigma_m: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A specimen's gain (H, W) and, as a turn of the phasors, its delay (1 + F, H, W), of each pixel."""
    gain, delay = np.random.default_rng(seed).standard_normal((2, *size))
    turns = 2 * np.array([0, *frequencies_hz])[:, None, None] * (delay_sigma_m * delay) / SPEED_OF_LIGHT_M_S
    return 1 + gain_sigma * gain, np.exp(2j * np.pi * turns)
