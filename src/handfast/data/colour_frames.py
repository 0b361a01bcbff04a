"""Labelled pictures of hands, in memory: rendered clips and photos."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from handfast.data.arrays import inside_image
from handfast.data.cards import Card, finished_card, read_shard
from handfast.data.colour_grounds import blend
from handfast.data.colour_pictures import is_green
from handfast.data.photos import read_listed
from handfast.data.shards import locate_frames
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.sensors.colour_crop import LEAST_INSIDE, SquareBox, crop_colour, look_rotation

Batch = dict[str, np.ndarray]

# A photo's padding has no brighter pixels; less of any other photo than that of one before a screen is green.
_BLACK, _SCREEN_SHARE = 24, 0.2
# By what a camera sees: the benchmark that has clips of it, and the file of a frame.
CLIPS = {"colour": ("bench-rgb", "colour.jpg"), "amplitude": ("bench-tof-clips", "amplitude.png")}
# The parts of bench-rgb by the side that they show: hands seen by another, as in STB, and by who has them, as
# in FPHA.
PARTS = {"third-person": "left", "first-person": "right"}
WHOLE = "all"


@dataclass(frozen=True, eq=False)
class ColourFrames:
    """Labelled pictures of a hand each, n of them.

    encoded: as JPEG or PNG files, which take a tenth of their pixels' memory. keypoints_px (n, 21, 2) and
    joints_m (n, 21, 3) float32, the latter from the wrist in the picture's axes; zeros where has_3d (n,) is
    not. visible (n, 21) bool. is_left, has_screen (n,) bool, the latter for a green one. files: where
    each comes from. intrinsics (n, 4): fx, fy, cx, cy of the cameras; None for photos, whose 3D is a model's
    guess in its own scale, made as if the camera looked at the hand.
    """

    encoded: tuple[bytes, ...]
    keypoints_px: np.ndarray
    joints_m: np.ndarray
    has_3d: np.ndarray
    visible: np.ndarray
    is_left: np.ndarray
    has_screen: np.ndarray
    files: tuple[str, ...]
    intrinsics: np.ndarray | None

    def __len__(self) -> int:
        return len(self.encoded)

    def of_part(self, part: str) -> np.ndarray:
        """(n,) bool: those that one of ``PARTS`` has."""
        return self.is_left == (PARTS[part] == "left")

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8, of amplitude all three alike."""
        stored = cv2.imdecode(np.frombuffer(self.encoded[index], np.uint8), cv2.IMREAD_COLOR)
        return cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)

    def sample(
        self,
        index: int,
        box: SquareBox,
        size_px: int,
        border: int,
        backdrop: np.ndarray | None = None,
        least_inside: float = LEAST_INSIDE,
    ) -> Batch | None:
        """The crop of a frame with its labels, see ``ColourBatches.batch``; None if the box is outside.

        border, least_inside: as of ``crop_colour``. backdrop: (H, W, 3) uint8 of any size, shown instead of a
        green screen.
        """
        picture = self.picture(index)
        if backdrop is not None:
            picture = _before(picture, backdrop)
        crop = crop_colour(picture, box, size_px, bool(self.is_left[index]), border, least_inside)
        if crop is None:
            return None
        axes = crop.axes
        if self.intrinsics is not None:
            camera = Camera(*self.intrinsics[index], picture.shape[1], picture.shape[0])
            axes = axes @ look_rotation(camera, box.centre_px)
        keypoints_px = crop.to_crop_px(self.keypoints_px[index]).astype(np.float32)
        return {
            "image": crop.image,
            "keypoints_px": keypoints_px,
            "joints_m": (self.joints_m[index] @ axes.T).astype(np.float32),
            "visible": self.visible[index] & inside_image(keypoints_px, size_px, size_px),
            "has_3d": self.has_3d[index],
            "rendered": np.bool_(self.intrinsics is not None),
        }


def _before(picture: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """A picture with what is green, and its black padding, replaced."""
    is_hand = ~is_green(picture) & (picture.max(axis=-1) > _BLACK)
    share = cv2.GaussianBlur(cv2.erode(is_hand.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 0.8)
    red, green, blue = cv2.split(picture)
    # The screen shines on the hand.
    picture = cv2.merge([red, np.minimum(green, np.maximum(red, blue)), blue])
    return blend(cv2.resize(backdrop, picture.shape[1::-1]), picture, share)


def load_clips(
    folder: Path, split: str, kind: str = "colour", part: str = WHOLE
) -> tuple[Card, ColourFrames]:
    """A split of clips in memory, its frames in order.

    kind: of pictures, one of ``CLIPS``. part: one of ``PARTS``, for colour, or all. Raises HandfastError as
    ``finished_card`` does, for a shard that is not as it was made, for another benchmark, and where there are
    no such clips.
    """
    benchmark, picture = CLIPS[kind]
    card = finished_card(folder, split, benchmark)
    encoded, labels, shards = [], [], []
    for name in card.layout(split):
        shard = read_shard(folder, card, split, name)
        for files in locate_frames(shard).values():
            label = json.loads(shard[files["json"]])
            if part == WHOLE or label["hands"][0]["side"] == PARTS[part]:
                encoded.append(shard[files[picture]])
                labels.append(label)
                shards.append(name)
    if not labels:
        raise HandfastError(f"{folder}: expected {part} clips in {split}, got none")
    hands = [label["hands"][0] for label in labels]
    keypoints_m = np.array([hand["keypoints_m"] for hand in hands])
    return card, ColourFrames(
        encoded=tuple(encoded),
        keypoints_px=np.array([hand["keypoints_px"] for hand in hands], np.float32),
        joints_m=(keypoints_m - keypoints_m[:, :1]).astype(np.float32),
        has_3d=np.ones(len(hands), bool),
        visible=np.array([hand["visible"] for hand in hands], bool),
        is_left=np.array([hand["side"] == "left" for hand in hands]),
        has_screen=np.zeros(len(hands), bool),
        files=tuple(shards),
        intrinsics=np.array([[label["camera"][k] for k in ("fx", "fy", "cx", "cy")] for label in labels]),
    )


def part_of(benchmark: str, part: str) -> str:
    """What a part of a benchmark is called."""
    return benchmark if part == WHOLE else f"{benchmark}, {part}"


def load_photos(folder: Path, held_out: bool) -> tuple[ColourFrames, tuple[str, ...]]:
    """Photos of all but HELD_OUT_SOURCES, or of those, and where they come from."""
    listed = read_listed(folder, held_out)
    encoded = listed.read()
    has_screen = np.zeros(len(encoded), bool)
    for i, path in enumerate(listed.paths):
        # An eighth of its size is quick to read, and says as much.
        small = cv2.imdecode(np.frombuffer(encoded[i], np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
        if small is None:
            raise HandfastError(f"{path}: not a readable photo; remove its line from labels.jsonl")
        has_screen[i] = is_green(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).mean() > _SCREEN_SHARE
    frames = ColourFrames(
        encoded=encoded,
        keypoints_px=listed.keypoints_px,
        joints_m=listed.joints_m - listed.joints_m[:, :1],
        has_3d=listed.has_3d,
        visible=np.ones(listed.keypoints_px.shape[:2], bool),
        is_left=listed.slot == 0,
        has_screen=has_screen,
        files=tuple(path.name for path in listed.paths),
        intrinsics=None,
    )
    return frames, tuple(sorted(set(listed.sources)))
