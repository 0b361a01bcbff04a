"""Pictures for people: frames made visible, hands drawn over them, and sheets of many pictures."""

from collections.abc import Sequence

import cv2
import numpy as np

from handfast.geometry import apply_affine, crop_affine, fit_affine
from handfast.skeleton import SIDES, SKELETONS, Skeleton
from handfast.structures import KEY_POSES, NO_DEPTH, Frame, HandPose, HandSample

PICTURE_WIDTH_PX = 960

# Blue, green, red. Distinct from each other on dark and light ground, also for the colour-blind.
_FINGER_COLOURS = {
    "thumb": (74, 88, 255),
    "index": (41, 190, 255),
    "middle": (112, 220, 96),
    "ring": (255, 186, 66),
    "pinky": (246, 118, 208),
}
_LIGHT = (240, 240, 240)
_DARK = (24, 20, 18)
_OUTLINE = (255, 255, 0)
_BEYOND_THE_FRAME = (72, 68, 66)
_SUBPIXEL_BITS = 4
_CLOSE_UP = 1.6  # times the extent of what it shows
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def frame_as_picture(frame: Frame) -> np.ndarray:
    """A frame for the eye: (H, W, 3) uint8 BGR.

    Colour stays. Amplitude is stretched to the whole range of grey. Depth alone is coloured from near to far,
    bright to dark, black where there is no value.
    """
    if frame.colour is not None:
        return cv2.cvtColor(frame.colour, cv2.COLOR_RGB2BGR)
    if frame.amplitude is not None:
        stretched = _stretch(frame.amplitude, np.percentile(frame.amplitude, (0.5, 99.8)))
        return cv2.cvtColor((255 * stretched).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    known = (frame.depth > 0) & (frame.depth != NO_DEPTH)
    if not known.any():
        return np.zeros((*frame.shape, 3), np.uint8)
    farness = _stretch(frame.depth, np.percentile(frame.depth[known], (0.5, 99.0)))
    # The map's darkest fifth is left out, so that what is far still differs from what is unknown.
    picture = cv2.applyColorMap((255 - 205 * farness).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture[~known] = 0
    return picture


def draw_hands(image_bgr: np.ndarray, hands: Sequence[HandPose]) -> np.ndarray:
    """Hands over a picture (H, W, 3), scaled up first to PICTURE_WIDTH_PX where it is smaller.

    Bones are coloured by finger; a key-point that is not visible is a ring; a label gives side and score.
    """
    scale = max(1.0, PICTURE_WIDTH_PX / image_bgr.shape[1])
    size = (round(image_bgr.shape[1] * scale), round(image_bgr.shape[0] * scale))
    canvas = cv2.resize(image_bgr, size, interpolation=cv2.INTER_CUBIC)
    for hand in hands:
        # Pixel centres at integers: the middle of pixel 0 lies half a large pixel to the right of its edge.
        points = (hand.keypoints_px + 0.5) * scale - 0.5
        skeleton = next(s for s in SKELETONS.values() if len(s) == len(points))
        known = np.ones(len(points), bool)
        _draw_hand(canvas, points, skeleton, hand.visible, known, f"{hand.side} {hand.score:.2f}")
    return canvas


def draw_labels(sample: HandSample, width_px: int, height_px: int) -> np.ndarray:
    """A labelled frame, as close about its hands as shows them all, as a picture (height, width, 3) with the
    hands drawn as draw_hands does, and where they end. Key-points without a label are left out."""
    hands = [hand for hand in sample.hands if hand.known.any()]
    if hands:
        points_px = np.concatenate([hand.keypoints_px[hand.known] for hand in hands])
        A = _close_up(points_px, sample.frame.shape[1], width_px, height_px)
    else:
        A = fit_affine(sample.frame.shape[1], sample.frame.shape[0], width_px, height_px)
    canvas = cv2.warpAffine(
        frame_as_picture(sample.frame), A, (width_px, height_px), borderValue=_BEYOND_THE_FRAME
    )
    if sample.segmentation is not None:
        nearest = {"dsize": (width_px, height_px), "flags": cv2.INTER_NEAREST}
        _draw_outline(canvas, cv2.warpAffine(sample.segmentation, A, **nearest))
    for hand in hands:
        visible = hand.known if hand.visible is None else hand.visible
        text = hand.side if hand.key_pose is None else f"{hand.side} {KEY_POSES[hand.key_pose]}"
        _draw_hand(canvas, apply_affine(A, hand.keypoints_px), hand.skeleton, visible, hand.known, text)
    return canvas


def colours_of(skeleton: Skeleton) -> np.ndarray:
    """(K, 3) uint8 BGR of its key-points: each finger has its own."""
    fingers = (name.split("_")[0] for name in skeleton.keypoints)
    return np.array([_FINGER_COLOURS.get(finger, _LIGHT) for finger in fingers], np.uint8)


def draw_caption(picture_bgr: np.ndarray, text: str) -> None:
    """Write a line of text into the lower left corner, in place."""
    height = picture_bgr.shape[0]
    _draw_label(picture_bgr, text, (10.0, height - 10.0))


def contact_sheet(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures (H, W, 3) of one size in rows of ``columns``, with a narrow gap round each."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    gap = 8
    sheet = np.empty((gap + rows * (height + gap), gap + columns * (width + gap), 3), np.uint8)
    sheet[:] = _DARK
    for i, picture in enumerate(pictures):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def png_bytes(picture_bgr: np.ndarray) -> bytes:
    """A picture (H, W, 3) as a PNG file's content."""
    return cv2.imencode(".png", picture_bgr)[1].tobytes()


def _draw_outline(canvas: np.ndarray, segmentation: np.ndarray) -> None:
    """Where each hand of a segmentation (H, W) ends, on a picture of that size."""
    for side in range(1, 1 + len(SIDES)):
        mask = (segmentation == side).astype(np.uint8)
        outline, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outline, -1, _OUTLINE, 1)


def _stretch(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Values to 0..1 between two limits, as float32."""
    low, high = limits
    return np.clip((values.astype(np.float32) - low) / max(high - low, 1), 0, 1).astype(np.float32)


def _close_up(points_px: np.ndarray, frame_width_px: int, width_px: int, height_px: int) -> np.ndarray:
    """The (2, 3) affine to a picture of the given size with the points in its middle.

    A single point does not tell how large the hand is: it is shown in a quarter of the frame's width.
    """
    low, high = points_px.min(axis=0), points_px.max(axis=0)
    across_px, down_px = high - low
    crop_px = _CLOSE_UP * max(across_px, down_px * width_px / height_px, 10.0)
    if len(points_px) == 1:
        crop_px = max(crop_px, frame_width_px / 4)
    return crop_affine(tuple((low + high) / 2), crop_px, width_px, height_px)


def _draw_hand(
    canvas: np.ndarray,
    points: np.ndarray,
    skeleton: Skeleton,
    visible: np.ndarray,
    known: np.ndarray,
    text: str,
) -> None:
    """The known (K,) of a hand's points (K, 2), hollow where not visible, the bones between, a text above."""
    left, top = points[known].min(axis=0)
    extent_px = float(np.ptp(points[known], axis=0).max())
    bone_px = int(np.clip(extent_px / 90, 2, 5 * _larger(canvas)))
    joint_px = bone_px + 1.5
    colours = [tuple(map(int, colour)) for colour in colours_of(skeleton)]
    bones = [(parent, child) for parent, child in skeleton.edges if known[parent] and known[child]]
    for parent, child in bones:
        _draw_line(canvas, points[parent], points[child], _DARK, bone_px + 2)
    for parent, child in bones:
        _draw_line(canvas, points[parent], points[child], colours[child], bone_px)
    for k in np.flatnonzero(known):
        _draw_disc(canvas, points[k], joint_px + 1.5, _DARK)
        _draw_disc(canvas, points[k], joint_px, colours[k])
        if not visible[k]:
            _draw_disc(canvas, points[k], joint_px - 2, _DARK)
    _draw_label(canvas, text, (left, top - 14))


def _larger(canvas: np.ndarray) -> float:
    """How many times larger than usual a picture is: what is drawn should still be seen when it is shrunk."""
    return max(1.0, canvas.shape[1] / PICTURE_WIDTH_PX)


def _fixed_point(values: np.ndarray) -> tuple[int, ...]:
    """Pixels as OpenCV's drawing takes fractions of them; far outside is as good as just outside."""
    return tuple(int(v) for v in np.round(np.clip(values, -2e4, 2e4) * 2**_SUBPIXEL_BITS))


def _draw_line(canvas: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple, width_px: int) -> None:
    cv2.line(canvas, _fixed_point(a), _fixed_point(b), colour, width_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_disc(canvas: np.ndarray, centre: np.ndarray, radius_px: float, colour: tuple) -> None:
    radius = round(radius_px * 2**_SUBPIXEL_BITS)
    cv2.circle(canvas, _fixed_point(centre), radius, colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_label(canvas: np.ndarray, text: str, lower_left: tuple[float, float]) -> None:
    """Text on a dark plate, moved to lie within the canvas."""
    margin, scale, line_px = round(7 * _larger(canvas)), 0.62 * _larger(canvas), round(_larger(canvas))
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, line_px)
    x = int(np.clip(lower_left[0], 0, max(0, canvas.shape[1] - width - 2 * margin)))
    y = int(np.clip(lower_left[1], height + 2 * margin, canvas.shape[0]))
    plate = canvas[y - height - 2 * margin : y, x : x + width + 2 * margin]
    plate[:] = (0.25 * plate + 0.75 * np.array(_DARK)).astype(np.uint8)
    cv2.putText(canvas, text, (x + margin, y - margin), _FONT, scale, _LIGHT, line_px, cv2.LINE_AA)
