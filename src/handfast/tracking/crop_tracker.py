"""Hands in video, in space: followed by the tracker of key-points, and cut out for DIR-Net or ACE.

Where a hand is in the picture, and which one, the tracker of key-points says: its heat-maps place joints to
the pixel, on hands of all kinds. What the model of crops tells is how the hand is bent and turned in space.
What it remembers of a hand is handed on, but not across a cut in the video or a gap in time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.runtime.model import ModelCard
from handfast.sensors.colour_crop import box_about_px, crop_colour, look_rotation
from handfast.sensors.sources import open_source
from handfast.sensors.views import without_strays
from handfast.structures import Frame, HandPose
from handfast.tracking.continuity import Continuity, Passage
from handfast.tracking.tracker import Tracker


class CropEstimate(Protocol):
    """What a model says of the hand in a crop: joints_m (21, 3) from the wrist, along the crop's axes; effort
    as of ``HandPose``."""

    joints_m: np.ndarray

    @property
    def effort(self) -> int: ...


class CropModel(Protocol):
    """A model of colour crops of right hands, with or without a memory."""

    card: ModelCard

    def step(self, image: np.ndarray, state: object | None) -> tuple[CropEstimate, object | None]:
        """The next crop (S, S, 3) uint8 of a track, and what the step before remembered of it, None at its
        beginning -> what is seen, and what to remember."""
        ...


class CropTracker:
    """Tracks up to two hands through the frames of one camera.

    model: predicts the joints of right hands in space; left ones are shown to it in the mirror. It sees
    colour, or amplitude as a grey picture, as its card says. finder: finds and follows hands in the picture.
    """

    def __init__(self, model: CropModel, finder: Tracker) -> None:
        self.model, self.finder = model, finder
        self._memories: dict[int, object | None] = {}
        self._continuity = Continuity()

    @property
    def wrong_size(self) -> float | None:
        """As of the finder, where there is depth."""
        return self.finder.wrong_size

    def track(self, source: str | Path | Iterable[Frame]) -> Iterator[tuple[Frame, list[HandPose]]]:
        """Each frame of a source with the hands in it, as ``Tracker.track``."""
        frames = open_source(source) if isinstance(source, str | Path) else source
        self._start_anew()
        for frame in frames:
            yield frame, self.step(frame)

    def step(self, frame: Frame) -> list[HandPose]:
        """The hands in the next frame, knowing those of the frames before.

        Raises HandfastError for a frame without what the model sees.
        """
        picture = self._picture(frame)
        match self._continuity.passage(frame.time_s, picture):
            case Passage.CUT:
                self.finder.forget()
                self._memories = {}
            case Passage.GAP:
                self._memories = {}
        before, self._memories = self._memories, {}
        return [self._in_space(picture, frame.camera, find, before) for find in self.finder.step(frame)]

    def _picture(self, frame: Frame) -> np.ndarray:
        """What the model sees of a frame: (H, W, 3) uint8."""
        card = self.model.card
        if card.input["image"] == "amplitude crop":
            if frame.amplitude is None:
                raise HandfastError(
                    f"frame {frame.index}: model {card.name} needs amplitude; give 8-bit infrared or "
                    "amplitude, or choose another --model"
                )
            return cv2.cvtColor(frame.amplitude, cv2.COLOR_GRAY2RGB)
        if frame.colour is None:
            raise HandfastError(
                f"frame {frame.index}: model {card.name} needs colour; give a colour video or "
                "8-bit RGB PNGs, or choose another --model"
            )
        return frame.colour

    def _start_anew(self) -> None:
        self.finder.forget()
        self._memories, self._continuity = {}, Continuity()

    def _in_space(
        self, picture: np.ndarray, camera: Camera | None, find: HandPose, memories: dict[int, object | None]
    ) -> HandPose:
        """The hand with its joints from the wrist, or as it is where next to nothing is in the picture. Depth
        that was measured stays."""
        about_px = without_strays(find.keypoints_px)
        if not np.ptp(about_px, axis=0).max() >= 1:
            return find
        box = box_about_px(about_px)
        crop = crop_colour(picture, box, self.model.card.input["width"], mirrored=find.side == "left")
        if crop is None:
            return find
        key = find.track if find.side == "right" else -find.track  # the other side is another hand
        seen, self._memories[key] = self.model.step(crop.image, memories.get(key))
        relative_m = seen.joints_m @ crop.axes
        xyz_mm = find.xyz_mm
        if camera is not None:
            relative_m = relative_m @ look_rotation(camera, box.centre_px)
            if xyz_mm is None:
                xyz_mm = 1e3 * _placed_m(find.keypoints_px, relative_m, camera)
        return replace(find, relative_mm=1e3 * relative_m, xyz_mm=xyz_mm, effort=seen.effort)


def _placed_m(keypoints_px: np.ndarray, relative_m: np.ndarray, camera: Camera) -> np.ndarray:
    """(21, 3) in camera space: where a hand of this size and pose is seen as it is; NaN if nowhere.

    With rays (x, y, 1) and the wrist at t, x (r_z + t_z) = r_x + t_x for each joint r, and so for y: least
    squares tell t. Weak perspective would be off where a hand is not straight ahead.
    """
    rays = camera.unproject(keypoints_px.astype(np.float64), np.ones(len(keypoints_px)))[:, :2]
    minus_rays = -rays.ravel()[:, None]
    unknowns = np.concatenate([np.tile(np.eye(2), (len(rays), 1)), minus_rays], axis=1)
    knowns = (rays * relative_m[:, 2:] - relative_m[:, :2]).ravel()
    wrist_m = np.linalg.lstsq(unknowns, knowns, rcond=None)[0]
    placed_m = wrist_m + relative_m
    return placed_m if placed_m[:, 2].min() > 0 else np.full_like(placed_m, np.nan)
