"""Gather pictures without hands, for `handfast train finder-rgb --scenes`, from packages of Debian.

    apt-get download PACKAGES          # those below, and tuxpaint-stamps-default
    for f in *.deb; do mkdir -p unpacked/${f%%_*} && dpkg-deb -x $f unpacked/${f%%_*}; done
    .venv/bin/python scripts/gather_scenes.py unpacked scenes

Backgrounds of desktops, manuals' photos and windows, skies, maps, and the surfaces of which games are built,
so many at most of each package. Pictures whose names are below show hands, or people whose hands may be seen,
and are left out, as are those that hold no colours but directions. Things that were cut out of their pictures
(tuxpaint's stamps) are laid over the others. Look through what comes out.
"""

import argparse
import re
from pathlib import Path

import cv2
import numpy as np

BACKGROUNDS = (
    "cube2-data",
    "desktop-base",
    "extremetuxracer-data",
    "foobillardplus-data",
    "freedroidrpg-data",
    "gimp-help-en",
    "gnome-backgrounds",
    "hugin-data",
    "kdenlive-data",
    "kgeography-data",
    "kstars-data",
    "lincity-ng-data",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "mate-backgrounds",
    "opencv-doc",
    "plasma-workspace-wallpapers",
    "redeclipse-data",
    "stellarium-data",
    "supertuxkart-data",
    "torcs-data",
    "ukui-wallpapers",
    "unknown-horizons",
    "warmux-data",
)
STAMPS = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
WITH_HANDS = re.compile(
    r"ambush|basketball|messi|occlusion|cameraman|ml\.png|person_multi|Cascade|charuco|arucocal|detecteddiamond"
    r"|homography|stereo_und|sample_rec|d\.png|resnet50|tf_mobile|demo\.jpg|imgs\.jpg|students|Template"
    r"|face_swapped|classcv|input\.png|output\.jpg|/result|matching2|saliency|viewer|gsoc|orapple|chessboard"
    r"|registration|resimg|symbols/alphabets|body_parts|firem|final-roll|spacewalk|paratroop|cartoon|faces"
    r"|skycultures|hand|glove|player|character|actor|head|people|portrait|avatar|body|billboard|poster|tux_|droids"
    r"|whirl-pinch|warp-|panorama|nona|wilber-wizard"
)
# What is drawn in them is a surface's direction or shine, or too little to be a picture.
NO_COLOURS = re.compile(
    r"normal|_n\.|_nm|nrm|spec|gloss|_s\.|mask|glow|luma|bump|_local|font|icon|emblem|logo|flag"
)
MOST_OF_PACKAGE = 170
LEAST_BYTES, LONGER_SIDE_PX, LEAST_SIDE_PX, LEAST_SPREAD = 30_000, 640, 150, 14
OPAQUE_SHARE, GREY = 0.5, 96  # of what is partly transparent
SHEET_PX, STAMPS_A_SHEET, STAMP_PX = (640, 480), 3, (120, 420)


def backgrounds(rng: np.random.Generator, unpacked: Path) -> list[np.ndarray]:
    """Those that differ, at most LONGER_SIDE_PX long; nearly plain ones and small ones left out."""
    found: dict[bytes, np.ndarray] = {}
    for package in BACKGROUNDS:
        folder, before = unpacked / package, len(found)
        paths = [path for path in sorted(folder.rglob("*")) if _may_show_none(path, folder)]
        rng.shuffle(paths)
        for path in paths:
            picture = _opaque(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
            if picture is None or picture.std() < LEAST_SPREAD or len(found) == before + MOST_OF_PACKAGE:
                continue
            scale = min(LONGER_SIDE_PX / max(picture.shape[:2]), 1)
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if min(picture.shape[:2]) >= LEAST_SIDE_PX:
                look = cv2.resize(picture, (4, 4), interpolation=cv2.INTER_AREA).astype(int)
                found.setdefault(look.round(-1).tobytes(), picture)
        print(f"{package}: {len(found) - before}")
    return list(found.values())


def _may_show_none(path: Path, folder: Path) -> bool:
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp") or not path.is_file():
        return False
    name = f"/{path.relative_to(folder).as_posix()}"
    return path.stat().st_size >= LEAST_BYTES and not (WITH_HANDS.search(name) or NO_COLOURS.search(name))


def _opaque(picture: np.ndarray | None) -> np.ndarray | None:
    """(h, w, 3) uint8 over grey; None of what is no picture in colour or hardly to be seen."""
    if picture is None or picture.dtype != np.uint8 or picture.ndim != 3:
        return None
    if picture.shape[2] == 4:
        alpha = picture[..., 3:] / 255
        if alpha.mean() < OPAQUE_SHARE:
            return None
        picture = (picture[..., :3] * alpha + GREY * (1 - alpha)).astype(np.uint8)
    return picture


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
    rng = np.random.default_rng(0)
    pictures, things = backgrounds(rng, options.unpacked), stamps(options.unpacked)
    if not pictures:
        parser.exit(2, f"error: {options.unpacked}: expected unpacked packages, such as {BACKGROUNDS[0]}\n")
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
