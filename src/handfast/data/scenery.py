"""Pictures without hands, such as those of one's own rooms and desks: they stand behind hands, and show what
is none."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from handfast.errors import HandfastError
from handfast.geometry import crop_affine

LONGER_SIDE_PX = 640
SUFFIXES = (".jpg", ".jpeg", ".png")
_QUALITY = 92
# What a view shows: so much of the largest part of its shape that there is. Small parts are what a look at
# nothing in particular shows.
SHARE_RANGE = (0.12, 1.0)


@dataclass(frozen=True, eq=False)
class Scenes:
    """jpegs: their files' contents, no side longer than LONGER_SIDE_PX. name: for the cards of models."""

    jpegs: tuple[bytes, ...]
    name: str

    def view(self, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
        """Some part of one of them, turned any way, half of the time in the mirror -> (height, width, 3)
        uint8 RGB."""
        content = np.frombuffer(self.jpegs[rng.integers(len(self.jpegs))], np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        high, wide = picture.shape[:2]
        part_px = min(wide, high * width / height) * np.exp(rng.uniform(*np.log(SHARE_RANGE)))
        spare = np.array([wide - part_px, high - part_px * height / width])
        middle = np.array([wide - 1, high - 1]) / 2 + rng.uniform(-0.5, 0.5, 2) * spare
        A = crop_affine(middle, part_px, width, height, rng.uniform(-np.pi, np.pi))
        part = cv2.warpAffine(picture, A, (width, height), borderMode=cv2.BORDER_REFLECT)
        return cv2.cvtColor(part, cv2.COLOR_BGR2RGB)


def load_scenes(folder: Path) -> Scenes:
    """All .jpg and .png files in a folder, and in those in it. Raises HandfastError if there is none, and for
    one that cannot be read."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise HandfastError(f"{folder}: expected pictures without hands, .jpg or .png; there is none")
    return Scenes(tuple(map(_scaled, paths)), f"{len(paths)} pictures without hands of {folder.name}")


def _scaled(path: Path) -> bytes:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise HandfastError(f"{path}: not a readable picture; remove it")
    scale = LONGER_SIDE_PX / max(picture.shape[:2])
    if scale < 1:
        size = np.maximum(np.rint(scale * np.array(picture.shape[1::-1])), 1).astype(int)
        picture = cv2.resize(picture, size.tolist(), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes()
