"""Gather pictures without hands, for `handfast train finder-rgb --scenes`, from packages of Debian.

    apt-get download opencv-doc mate-backgrounds plasma-workspace-wallpapers gnome-backgrounds \\
        lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 ukui-wallpapers tuxpaint-stamps-default
    for f in *.deb; do dpkg-deb -x $f unpacked/${f%%_*}; done
    .venv/bin/python scripts/gather_scenes.py unpacked scenes

Pictures whose names are below show hands, or people whose hands may be seen, and are left out. Things that
were cut out of their pictures (tuxpaint's stamps) are laid over the others. Look through what comes out.
"""

import argparse
import re
from pathlib import Path

import cv2
import numpy as np

BACKGROUNDS = (
    "opencv-doc",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "ukui-wallpapers",
    "gnome-backgrounds",
)
STAMPS = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
WITH_HANDS = re.compile(
    "ambush|basketball|messi|occlusion|cameraman|ml.png|person_multi|Cascade|charuco|arucocal|detecteddiamond"
    "|homography|stereo_und|sample_rec|d.png|resnet50|tf_mobile|demo.jpg|imgs.jpg|students|Template|face_swapped"
    "|classcv|input.png|output.jpg|^result|matching2|saliency|viewer|gsoc|orapple|chessboard|registration|resimg"
    "|symbols/alphabets|body_parts|glove|firem|final-roll|spacewalk|paratroop|cartoon|faces|people"
)
LEAST_BYTES, LONGER_SIDE_PX, LEAST_SIDE_PX, LEAST_SPREAD = 50_000, 640, 90, 12
SHEET_PX, STAMPS_A_SHEET, STAMP_PX = (640, 480), 3, (120, 420)


def backgrounds(unpacked: Path) -> list[np.ndarray]:
    """Those that differ, at most LONGER_SIDE_PX long; nearly plain ones and small ones left out."""
    found: dict[bytes, np.ndarray] = {}
    for package in BACKGROUNDS:
        for path in sorted((unpacked / package).rglob("*")):
            is_picture = path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp") and path.is_file()
            if not is_picture or path.stat().st_size < LEAST_BYTES or WITH_HANDS.search(path.name):
                continue
            picture = cv2.imread(str(path))
            if picture is None:
                continue
            scale = min(LONGER_SIDE_PX / max(picture.shape[:2]), 1)
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if min(picture.shape[:2]) >= LEAST_SIDE_PX and picture.std() >= LEAST_SPREAD:
                look = cv2.resize(picture, (4, 4), interpolation=cv2.INTER_AREA).astype(int)
                found.setdefault(look.round(-1).tobytes(), picture)
    return list(found.values())


def stamps(unpacked: Path) -> list[np.ndarray]:
    """(h, w, 4) each."""
    paths = sorted((unpacked / STAMPS).rglob("*.png"))
    pictures = [
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths if not WITH_HANDS.search(str(path))
    ]
    return [
        p for p in pictures if p is not None and p.ndim == 3 and p.shape[2] == 4 and min(p.shape[:2]) >= 40
    ]


def laid_over(rng: np.random.Generator, background: np.ndarray, things: list[np.ndarray]) -> np.ndarray:
    wide, high = SHEET_PX
    scale = max(high / background.shape[0], wide / background.shape[1])
    sheet = cv2.resize(background, None, fx=scale, fy=scale)[:high, :wide].copy()
    for thing in things:
        scale = rng.uniform(*STAMP_PX) / max(thing.shape[:2])
        thing = cv2.resize(thing, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = thing.shape[:2]
        y, x = (int(rng.integers(-size // 4, room - 3 * size // 4)) for size, room in ((h, high), (w, wide)))
        rows, columns = slice(max(y, 0), min(y + h, high)), slice(max(x, 0), min(x + w, wide))
        part = thing[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
        alpha = part[..., 3:] / 255
        sheet[rows, columns] = (part[..., :3] * alpha + sheet[rows, columns] * (1 - alpha)).astype(np.uint8)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("unpacked", type=Path, help="a folder with one of each package in it")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    pictures, things = backgrounds(options.unpacked), stamps(options.unpacked)
    if not pictures:
        parser.exit(2, f"error: {options.unpacked}: expected unpacked packages, such as {BACKGROUNDS[0]}\n")
    rng = np.random.default_rng(0)
    rng.shuffle(things)
    sheets = [
        laid_over(rng, pictures[rng.integers(len(pictures))], things[start : start + STAMPS_A_SHEET])
        for _ in range(2)
        for start in range(0, len(things), STAMPS_A_SHEET)
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures + sheets):
        cv2.imwrite(str(options.out / f"{i:04d}.jpg"), picture, (cv2.IMWRITE_JPEG_QUALITY, 92))
    print(f"{len(pictures)} pictures and {len(sheets)} sheets of {len(things)} things")


if __name__ == "__main__":
    main()
