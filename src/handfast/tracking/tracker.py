"""Find the hands in each frame and follow them: look at the whole frame, then again closely at each hand.

for frame, hands in Tracker().track("clip.zip"):
    ...
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from handfast.codecs import decode_heatmaps, map_to_input
from handfast.geometry import Camera, apply_affine, crop_affine, fit_affine, invert_affine
from handfast.runtime.lifting import lift
from handfast.runtime.model import Model, load_model
from handfast.sensors.images import normalise_exposure, proximity_image
from handfast.sensors.sources import open_source
from handfast.sensors.views import hand_size_px, look_affine, without_strays
from handfast.skeleton import SIDES
from handfast.structures import Frame, HandPose

FOUND = 0.5  # probability at which a hand counts as found
VISIBLE = 0.5
SHARP = 0.09  # below this share of a heat-map around its peak a close look shows no hand
# Two finds are one hand when their key-points lie this much of a hand's size apart.
SAME_HAND = 0.35
# Each close look starts from where the one before found the hand: a new one has to be homed in on.
LOOKS, NEW_HAND_LOOKS = 2, 4
# The first look at a new hand tries these turns: the whole frame may show too little to tell where it points.
NEW_HAND_TURNS_RAD = (0.0, np.pi / 2, np.pi, -np.pi / 2)
SIDE_MEMORY = 0.8  # how much of the evidence for a side lasts to the next frame


@dataclass(frozen=True, eq=False)
class _Find:
    """A hand in the frame's pixels. side_logit > 0 speaks for a right hand; sharpness is the mean share of a
    heat-map around its peak."""

    probability: float
    sharpness: float
    side_logit: float
    keypoints_px: np.ndarray
    visible: np.ndarray
    track: int = 0

    @property
    def score(self) -> float:
        """The network's opinion and how sure its key-points look, 0..1: ghosts have blurred heat-maps."""
        return float(np.sqrt(self.probability * self.sharpness))

    @property
    def size_px(self) -> float:
        return hand_size_px(without_strays(self.keypoints_px))


class Tracker:
    """Tracks up to two hands through the frames of one sensor.

    model: a packaged name, an .onnx file, or a loaded Model. A hand has the key-points of its skeleton.
    """

    def __init__(self, model: str | Path | Model = "tofnet-hand21"):
        self.model = model if isinstance(model, Model) else load_model(model)
        self._root = self.model.skeleton.parents.index(-1)
        self._previous: list[_Find] = []
        self._tracks = 0

    def track(self, source: str | Path | Iterable[Frame]) -> Iterator[tuple[Frame, list[HandPose]]]:
        """Each frame of a source with the hands in it. A path is opened as `handfast track` would open it.

        Raises HandfastError for what cannot be read.
        """
        frames = open_source(source) if isinstance(source, str | Path) else source
        self._previous = []
        for frame in frames:
            yield frame, self.step(frame)

    def step(self, frame: Frame) -> list[HandPose]:
        """The hands in the next frame, knowing those of the frames before."""
        depth_m = None if frame.depth is None else frame.depth_m()
        picture = proximity_image(depth_m) if frame.amplitude is None else frame.amplitude
        finds = self._previous
        if len(finds) < 2:
            # With nothing to follow a closer search pays: small hands are blurs in the whole frame.
            views = self._search_views(picture, tiles=not finds)
            found = [find for view in self._look(picture, views) for find in view]
            finds = _distinct([*finds, *found])
        for _ in range(LOOKS if all(find.track for find in finds) else NEW_HAND_LOOKS):
            finds = self._look_closely(picture, finds)
        self._previous = [self._numbered(find) for find in _distinct(finds)[:2]]
        return [_as_pose(find, depth_m, frame.camera) for find in self._previous]

    def _search_views(self, picture: np.ndarray, tiles: bool) -> list[np.ndarray]:
        """Affines that show the whole frame and, if asked for, overlapping parts of half its size."""
        width, height = self.model.input_size
        high, wide = picture.shape
        views = [fit_affine(wide, high, width, height)]
        if tiles:
            views += [
                crop_affine((x * (wide - 1), y * (high - 1)), 0.5 * width / views[0][0, 0], width, height)
                for y in (0.3, 0.7)
                for x in (0.25, 0.5, 0.75)
            ]
        return views

    def _look(self, picture: np.ndarray, affines: list[np.ndarray]) -> list[list[_Find]]:
        """Run the network on the picture seen through each affine: what it finds, per affine."""
        width, height = self.model.input_size
        views = [normalise_exposure(_view(picture, A, width, height)) for A in affines]
        heatmaps, visibility = self.model.run(np.stack(views))
        keypoints, sharpness = decode_heatmaps(heatmaps)
        keypoints = map_to_input(keypoints, stride=width // heatmaps.shape[-1])
        probability = 1 / (1 + np.exp(-visibility))
        finds = []
        for view, A in enumerate(affines):
            back = invert_affine(A)
            side_logit = float(visibility[view, 1, 0] - visibility[view, 0, 0])
            finds.append(
                [
                    _Find(
                        probability=float(probability[view, slot, 0]),
                        sharpness=float(sharpness[view, slot].mean()),
                        side_logit=side_logit,
                        keypoints_px=apply_affine(back, keypoints[view, slot]).astype(np.float32),
                        visible=probability[view, slot, 1:] > VISIBLE,
                    )
                    for slot in range(len(SIDES))
                    if probability[view, slot, 0] > FOUND
                ]
            )
        return finds

    def _look_closely(self, picture: np.ndarray, finds: list[_Find]) -> list[_Find]:
        """Look again at each hand, upright and close; a hand that is not seen then is dropped."""
        if not finds:
            return []
        width, height = self.model.input_size
        turns = [(0.0,) if find.track else NEW_HAND_TURNS_RAD for find in finds]
        looks = [
            look_affine(without_strays(find.keypoints_px), width, height, self._root, turn_rad=turn)
            for find, own in zip(finds, turns, strict=True)
            for turn in own
        ]
        seen = iter(self._look(picture, looks))
        closer = []
        for before, own in zip(finds, turns, strict=True):
            near = [
                find
                for _ in own
                for find in next(seen)
                if _apart(find, before) < 1.0 and find.sharpness > SHARP
            ]
            if near:
                best = max(near, key=lambda find: find.score)
                memory = SIDE_MEMORY * before.side_logit if before.track else 0.0
                closer.append(replace(best, side_logit=memory + best.side_logit, track=before.track))
        return closer

    def _numbered(self, find: _Find) -> _Find:
        if find.track:
            return find
        self._tracks += 1
        return replace(find, track=self._tracks)


def _view(picture: np.ndarray, A: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture through an affine. What shrinks is averaged first, or thin fingers would flicker."""
    pixels = round(1 / np.linalg.norm(A[:, 0]))
    if pixels > 1:
        picture = cv2.blur(picture, (pixels, pixels))
    return cv2.warpAffine(picture, A, (width, height), flags=cv2.INTER_LINEAR)


def _apart(a: _Find, b: _Find) -> float:
    """Mean distance of the key-points in hand sizes."""
    distance = np.linalg.norm(a.keypoints_px - b.keypoints_px, axis=1).mean()
    return float(distance / max(a.size_px, b.size_px, 1.0))


def _distinct(finds: list[_Find]) -> list[_Find]:
    """Without second finds of one hand: those already tracked stay first, then the surer ones."""
    kept: list[_Find] = []
    for find in sorted(finds, key=lambda f: (f.track == 0, -f.score)):
        if all(_apart(find, other) > SAME_HAND for other in kept):
            kept.append(find)
    return kept


def _as_pose(find: _Find, depth_m: np.ndarray | None, camera: Camera | None) -> HandPose:
    xyz_mm = None
    if depth_m is not None and camera is not None:
        xyz_mm = 1e3 * lift(find.keypoints_px, find.visible, depth_m, camera)
    return HandPose(
        side=SIDES[int(find.side_logit > 0)],
        score=find.score,
        keypoints_px=find.keypoints_px,
        visible=find.visible,
        xyz_mm=xyz_mm,
        track=find.track,
    )
