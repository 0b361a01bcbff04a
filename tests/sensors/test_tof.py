import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.geometry import Camera, fit_affine
from handfast.sensors.tof import (
    SPEED_OF_LIGHT_M_S,
    ToFSensor,
    amplitude_image,
    capture,
    depth_from_phases,
    phase_images,
    phasors,
)

CAMERA = Camera(fx=9.0, fy=9.0, cx=5.7, cy=3.1, width=12, height=8)  # wide: rays are up to 1.2 times z
NARROW = Camera(fx=1e5, fy=1e5, cx=39.5, cy=29.5, width=80, height=60)  # rays are as long as z

# No halo, shading or fixed pattern, no saturation, every return trusted, amplitude gain fixed.
IDEAL = ToFSensor(
    full_well_electrons=1e9,
    halo_strength=0.0,
    lens_shading_power=0.0,
    gain_nonuniformity=0.0,
    delay_nonuniformity_m=0.0,
    confidence_electrons=0.1,
    white_percentile=None,
)


def flat(camera: Camera, depth_m: float, albedo: float = 1.0, factor: int = 1):
    """Depth, cosine and albedo of a surface across the whole view that faces every pixel."""
    shape = (factor * camera.height, factor * camera.width)
    return np.full(shape, depth_m), np.ones(shape), np.full(shape, albedo)


def phases_of(sensor: ToFSensor, camera: Camera, scene, rng=None) -> np.ndarray:
    return phase_images(sensor, camera, phasors(sensor, camera, *scene), rng)


def measured(sensor: ToFSensor, camera: Camera, scene, rng=None) -> np.ndarray:
    return depth_from_phases(sensor, camera, phases_of(sensor, camera, scene, rng))


@given(
    frequencies_mhz=st.sampled_from([(20,), (100,), (60, 80), (20, 100), (30, 70), (16, 80), (90, 120)]),
    share=st.floats(0.02, 0.98),
    albedo=st.floats(0.05, 1.0),
    taps=st.integers(3, 6),
)
def test_depth_without_noise_is_exact_within_the_unambiguous_distance(frequencies_mhz, share, albedo, taps):
    sensor = replace(
        IDEAL, frequencies_hz=[1e6 * f for f in frequencies_mhz], amplitude_coefficients=[1.0] * taps
    )
    longest_ray = math.hypot(1, CAMERA.unproject(np.zeros(2), np.ones(()))[0], 5.0 / 9)
    z = share * sensor.unambiguous_distance_m / longest_ray
    np.testing.assert_allclose(measured(sensor, CAMERA, flat(CAMERA, z, albedo)), z, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("low_hz", "high_hz"), [(60e6, 80e6), (20e6, 100e6), (30e6, 70e6), (110e6, 120e6)])
def test_every_whole_number_of_turns_is_unwrapped(low_hz, high_hz):
    sensor = replace(IDEAL, frequencies_hz=(low_hz, high_hz))
    wrap_m = SPEED_OF_LIGHT_M_S / (2 * high_hz)
    assert sensor.wraps[1] * wrap_m == pytest.approx(sensor.unambiguous_distance_m)
    centres_m = (np.arange(sensor.wraps[1]) + 0.5) * wrap_m
    depth_m = np.ones((60, 80))
    depth_m[0, : len(centres_m)] = centres_m
    got = measured(sensor, NARROW, (depth_m, np.ones_like(depth_m), np.ones_like(depth_m)))
    np.testing.assert_allclose(got[0, : len(centres_m)], centres_m, atol=1e-3)


def test_beyond_the_unambiguous_distance_depth_starts_again():
    beyond = IDEAL.unambiguous_distance_m + 0.5
    np.testing.assert_allclose(measured(IDEAL, NARROW, flat(NARROW, beyond)), 0.5, atol=1e-3)


def test_unwrapping_survives_noise():
    sensor = replace(IDEAL, read_noise_electrons=50.0)
    got = measured(sensor, NARROW, flat(NARROW, 4.3, albedo=20.0), np.random.default_rng(1))
    assert np.abs(got - 4.3).max() < 0.25  # a wrong candidate would be off by 1.87 m


@given(distance_m=st.floats(0.1, 3.0), ratio=st.floats(1.0, 4.0))
def test_light_falls_with_the_square_of_the_distance(distance_m, ratio):
    near, far = (np.abs(phasors(IDEAL, NARROW, *flat(NARROW, z))) for z in (distance_m, ratio * distance_m))
    np.testing.assert_allclose(near, far * ratio**2, rtol=1e-4)


def test_light_is_measured_along_the_ray_and_scales_with_albedo_and_cosine():
    camera = Camera(fx=1.0, fy=1.0, cx=0.0, cy=0.0, width=2, height=1)  # pixel 1 looks along (1, 0, 1)
    ones = np.ones((1, 2))
    light = phasors(IDEAL, camera, 2 * ones, 0.5 * ones, 0.25 * ones)[0].real
    np.testing.assert_allclose(light[0], 4000 * 0.5 * 0.25 / np.array([4, 8]), rtol=1e-5)
    assert not phasors(IDEAL, camera, 2 * ones, -0.5 * ones, ones).any()


@given(near_m=st.floats(0.2, 1.0), gap_m=st.floats(0.05, 1.5), edge=st.integers(1, 79))
def test_flying_pixels_lie_between_the_two_surfaces(near_m, gap_m, edge):
    sensor = replace(IDEAL, frequencies_hz=(20e6,))  # the gap is below a quarter of a wave, 3.7 m
    depth_m, cos_incidence, albedo = flat(NARROW, near_m, factor=2)
    column = 2 * edge - 1  # splits the pixels of column edge - 1
    depth_m[:, column:] = near_m + gap_m
    got = measured(sensor, NARROW, (depth_m, cos_incidence, albedo))
    assert (got[:, edge - 1] > near_m + 1e-4).all()
    assert (got[:, edge - 1] < near_m + gap_m - 1e-4).all()
    np.testing.assert_allclose(got[:, : edge - 1], near_m, atol=1e-3)
    np.testing.assert_allclose(got[:, edge:], near_m + gap_m, atol=1e-3)


def test_a_finer_render_has_its_pixel_centres_where_the_camera_says():
    # A slanted plane z = 1 + x / 2, rendered at 3x, must come back on the camera's own rays.
    width, height = 3 * CAMERA.width, 3 * CAMERA.height
    fine = CAMERA.warped(fit_affine(CAMERA.width, CAMERA.height, width, height), width, height)

    def plane_depth(camera):
        slope = (np.arange(camera.width) - camera.cx) / camera.fx
        return np.tile(1 / (1 - 0.5 * slope), (camera.height, 1))

    ones = np.ones((height, width))
    got = measured(replace(IDEAL, frequencies_hz=(20e6,)), CAMERA, (plane_depth(fine), ones, ones))
    np.testing.assert_allclose(got, plane_depth(CAMERA), rtol=3e-3)


@pytest.mark.parametrize("nothing", [0.0, np.inf, np.nan, -1.0])
def test_nothing_there_gives_no_light_and_no_depth(nothing):
    amplitude, depth_mm = capture(IDEAL, CAMERA, *flat(CAMERA, nothing), None)
    assert not amplitude.any() and not depth_mm.any()


def test_a_pixel_half_filled_gets_half_of_the_light():
    depth_m, cos_incidence, albedo = flat(NARROW, 0.5, factor=2)
    full = phasors(IDEAL, NARROW, depth_m, cos_incidence, albedo)
    depth_m[:, ::2] = 0
    cos_incidence[:, ::2] = np.nan  # a renderer has no normal where nothing is
    np.testing.assert_allclose(phasors(IDEAL, NARROW, depth_m, cos_incidence, albedo), full / 2, rtol=1e-5)


def test_taps_by_hand():
    # An eighth of a wave away the light comes back a quarter turn late: tap 90 sees its crest.
    sensor = replace(IDEAL, frequencies_hz=(20e6,), exposure=2.0, ambient_electrons=300.0)
    distance_m = SPEED_OF_LIGHT_M_S / 20e6 / 8
    light = 2 * sensor.signal_electrons / distance_m**2
    expected = 2 * 300 + light / 2 * np.array([1, 1.8, 1, 0.2])
    got = phases_of(sensor, NARROW, flat(NARROW, distance_m))
    assert got.shape == (1, 4, 60, 80) and got.dtype == np.float32
    np.testing.assert_allclose(got[0, :, 30, 40], expected, rtol=1e-4)


@pytest.mark.parametrize(("frequency_hz", "gate_m"), [(20e6, 2.81), (60e6, 0.937), (100e6, 0.562)])
def test_the_default_amplitude_is_a_range_gate(frequency_hz, gate_m):
    sensor = replace(IDEAL, frequencies_hz=(frequency_hz,), white_electrons=10.0)
    amplitude = [
        capture(sensor, NARROW, *flat(NARROW, share * gate_m), None)[0].max()
        for share in (0.3, 0.98, 1.02, 2.2)
    ]
    assert amplitude[0] > 0 and amplitude[1] > 0
    assert amplitude[2:] == [0, 0]


def test_amplitude_by_hand_and_of_the_chosen_frequency():
    # I = 300, Q = 100 at 60 MHz; I = -50, Q = 20 at 80 MHz.
    taps = np.array([[1300, 1100, 700, 900], [950, 1020, 1050, 980]], np.float32)[:, :, None, None]
    sensor = replace(IDEAL, white_electrons=400.0)
    assert amplitude_image(sensor, taps)[0, 0] == round(400 / math.sqrt(2) / 400 * 255)
    assert amplitude_image(replace(sensor, amplitude_frequency=1), taps)[0, 0] == 0
    in_phase = replace(sensor, amplitude_coefficients=(0.5, 0, -0.5, 0))
    assert amplitude_image(in_phase, taps)[0, 0] == round(300 / 400 * 255)


def test_bright_frames_turn_the_gain_down_and_dark_ones_do_not_turn_it_up():
    in_phase = np.zeros((1, 4, 10, 10), np.float32)
    in_phase[0, 0] = np.linspace(0, 8000, 100).reshape(10, 10)  # I + Q of 0 .. 4000
    auto = replace(
        IDEAL, frequencies_hz=(60e6,), amplitude_coefficients=(0.5, 0, -0.5, 0), white_electrons=500.0
    )
    auto = replace(auto, white_percentile=100.0)
    bright = amplitude_image(auto, in_phase)
    np.testing.assert_array_equal(bright.ravel(), np.rint(np.linspace(0, 255, 100)))
    dark = amplitude_image(auto, in_phase / 80)
    assert dark.max() == round(50 / 500 * 255)
    clipped = amplitude_image(replace(auto, white_percentile=None), in_phase)
    assert clipped.max() == 255 and np.median(clipped) == 255


def test_saturated_pixels_are_clipped_and_have_no_depth():
    sensor = replace(IDEAL, full_well_electrons=50_000.0)
    depth_m, cos_incidence, albedo = flat(NARROW, 0.6)
    depth_m[:30] = 0.24
    phases = phases_of(sensor, NARROW, (depth_m, cos_incidence, albedo))
    assert phases.max() == sensor.full_well_electrons
    assert phases[:, 2].max() < sensor.full_well_electrons  # one full tap of four is enough
    got = depth_from_phases(sensor, NARROW, phases)
    assert not got[:30].any()
    np.testing.assert_allclose(got[30:], 0.6, atol=1e-3)


def test_weak_returns_have_no_depth():
    light_m = 1.0  # modulation amplitude there: 4000 * 0.8 / 2 = 1600 electrons
    for confidence, found in ((1590.0, True), (1610.0, False)):
        sensor = replace(IDEAL, confidence_electrons=confidence)
        assert bool(measured(sensor, NARROW, flat(NARROW, light_m)).all()) is found


def test_tap_noise_has_the_mean_and_the_variance_of_shot_and_read_noise():
    light = phasors(IDEAL, NARROW, *flat(NARROW, 0.7))
    clear = phase_images(IDEAL, NARROW, light, None)
    noise = phase_images(IDEAL, NARROW, light, np.random.default_rng(7)) - clear
    sigma = np.sqrt(clear + IDEAL.read_noise_electrons**2)
    standard = (noise / sigma).reshape(8, -1)
    np.testing.assert_allclose(standard.mean(1), 0, atol=0.06)  # 4,800 pixels: 0.014 is one sigma
    np.testing.assert_allclose(np.cov(standard), np.eye(8), atol=0.08)


@pytest.mark.parametrize("albedo", [0.15, 0.4, 1.0])
def test_depth_noise_follows_the_shot_noise_law(albedo):
    sensor = replace(IDEAL, frequencies_hz=(20e6,))
    got = measured(sensor, NARROW, flat(NARROW, 0.7, albedo), np.random.default_rng(5))
    light = sensor.signal_electrons * albedo / 0.7**2
    variance = light / 2 + sensor.ambient_electrons + sensor.read_noise_electrons**2
    sigma_rad = math.sqrt(2 / 4 * variance) / (sensor.modulation_contrast * light / 2)
    sigma_m = sigma_rad * SPEED_OF_LIGHT_M_S / (4 * math.pi * 20e6)
    assert got.std() == pytest.approx(sigma_m, rel=0.06)  # 4,800 pixels: 1 % is one sigma
    assert got.mean() == pytest.approx(0.7, abs=4 * sigma_m / math.sqrt(got.size) + 1e-4)


def test_two_frequencies_are_more_precise_than_one():
    spread = [
        measured(replace(IDEAL, frequencies_hz=f), NARROW, flat(NARROW, 0.5), np.random.default_rng(2)).std()
        for f in ((20e6,), (60e6, 80e6))
    ]
    # Precision grows with the root of the sum of squares: sqrt(60^2 + 80^2) / 20 = 5.
    assert spread[0] / spread[1] == pytest.approx(5, rel=0.1)


def test_the_halo_moves_light_and_bends_depth_but_loses_none():
    scene = flat(NARROW, 2.0)
    scene[0][20:40, 30:50] = 0.4
    light = phasors(IDEAL, NARROW, *scene)
    clear = phase_images(IDEAL, NARROW, light, None)
    sensor = replace(IDEAL, halo_strength=0.1, halo_radius_px=8.0)
    hazy = phase_images(sensor, NARROW, light, None)
    assert hazy.sum(dtype=float) == pytest.approx(clear.sum(dtype=float), rel=0.01)
    error_m = depth_from_phases(sensor, NARROW, hazy) - scene[0]
    near_the_hand = error_m[17, 40]
    assert near_the_hand != pytest.approx(0, abs=0.01)
    assert abs(error_m[30, 40]) < 0.02  # the bright hand itself hardly moves
    even = flat(NARROW, 1.0)
    np.testing.assert_allclose(measured(sensor, NARROW, even), 1.0, atol=1e-3)


def test_lens_shading_darkens_the_corners_by_the_power_of_the_cosine():
    even = flat(CAMERA, 1.0)
    plain, shaded = (
        phases_of(replace(IDEAL, ambient_electrons=0.0, lens_shading_power=p), CAMERA, even) for p in (0, 4)
    )
    corner_ray = CAMERA.unproject(np.zeros(2), np.ones(()))
    ratio = shaded[0, :, 0, 0] / plain[0, :, 0, 0]
    np.testing.assert_allclose(ratio, np.linalg.norm(corner_ray) ** -4, rtol=1e-4)


def test_the_fixed_pattern_belongs_to_the_specimen():
    sensor = replace(IDEAL, gain_nonuniformity=0.02, delay_nonuniformity_m=0.003)
    scene = flat(NARROW, 0.8)
    depth = measured(sensor, NARROW, scene)
    assert depth.std() == pytest.approx(0.003, rel=0.06)
    gain = phases_of(sensor, NARROW, scene).mean((0, 1)) - sensor.ambient_electrons
    assert gain.std() / gain.mean() == pytest.approx(0.02, rel=0.06)
    np.testing.assert_array_equal(measured(sensor, NARROW, scene), depth)
    other = measured(replace(sensor, fixed_pattern_seed=1), NARROW, scene)
    assert abs(np.corrcoef(depth.ravel(), other.ravel())[0, 1]) < 0.1


def test_capture_is_repeatable_and_in_the_promised_form():
    sensor = ToFSensor()
    scene = flat(NARROW, 0.45, albedo=0.6, factor=2)
    first, again, other = (capture(sensor, NARROW, *scene, np.random.default_rng(s)) for s in (3, 3, 4))
    amplitude, depth_mm = first
    assert amplitude.dtype == np.uint8 and depth_mm.dtype == np.uint16
    assert amplitude.shape == depth_mm.shape == (60, 80)
    assert abs(np.median(depth_mm) - 450) <= 2
    for image, same, different in zip(first, again, other, strict=True):
        assert image.tobytes() == same.tobytes()
        assert image.tobytes() != different.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"frequencies_hz": ()},
        {"frequencies_hz": (0.0,)},
        {"frequencies_hz": (math.nan,)},
        {"frequencies_hz": (20e6 + 0.5,)},
        {"frequencies_hz": (80e6, 60e6)},
        {"frequencies_hz": (60e6, 60e6)},
        {"frequencies_hz": (20e6, 60e6, 80e6)},
        {"frequencies_hz": (60e6, 80e6 + 1)},
        {"amplitude_coefficients": (1.0, -1.0)},
        {"amplitude_coefficients": (1.0, math.nan, 0.0, 0.0)},
        {"amplitude_frequency": 2},
        {"amplitude_frequency": -1},
        {"signal_electrons": 0.0},
        {"exposure": -1.0},
        {"full_well_electrons": math.inf},
        {"read_noise_electrons": -1.0},
        {"ambient_electrons": math.nan},
        {"modulation_contrast": 1.1},
        {"halo_strength": 1.0},
        {"halo_radius_px": 0.0},
        {"white_percentile": 101.0},
    ],
)
def test_a_sensor_that_cannot_be_is_refused(change):
    (name,) = change
    with pytest.raises(HandfastError, match=name):
        ToFSensor(**change)


@pytest.mark.parametrize("shape", [(9, 12), (8, 13), (16, 12), (4, 6), (8, 12, 1)])
def test_a_render_that_does_not_fit_the_camera_is_refused(shape):
    image = np.ones(shape)
    with pytest.raises(HandfastError, match="whole multiple of 8 x 12"):
        phasors(IDEAL, CAMERA, image, image, image)


def test_images_of_different_sizes_are_refused():
    with pytest.raises(HandfastError, match="one size"):
        phasors(IDEAL, CAMERA, np.ones((16, 24)), np.ones((16, 24)), np.ones((8, 12)))
