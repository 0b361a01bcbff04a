"""A shard: a tar of labelled frames as WebDataset reads it. The same samples give the same bytes.

Successive members whose names agree up to the first dot are one frame, named by its clip and its place in it:

    000012-0000.amplitude.png       8-bit grey
    000012-0000.depth.png           16-bit grey in steps of depth_unit_mm, 0 = no value
    000012-0000.colour.jpg
    000012-0000.segmentation.png    0 background, 1 left hand, 2 right hand
    000012-0000.json                the labels, see ``_labels``

A sensor's frames have the pictures that it gives. Which shards there are is in the set's card (``cards``).
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from handfast.geometry import Camera
from handfast.structures import KEY_POSES, Frame, HandLabel, HandSample

# Differences from the row above, run-length coding at the lowest level: the quickest to read.
_PNG = (
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
# Labels are written to a tenth of a thousandth of a pixel and to a micrometre.
_PX_DIGITS, _M_DIGITS = 4, 6


def frame_key(clip: int, index: int) -> str:
    """What names a frame in its split."""
    return f"{clip:06d}-{index:04d}"


def encode_shard(samples: Iterable[tuple[HandSample, int, int]]) -> bytes:
    """(sample, number of its clip, person) in order -> the tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample, clip, person in samples:
            key = frame_key(clip, sample.frame.index)
            for name, content in _encode_sample(sample, clip, person).items():
                # Owner, time and mode are always the same.
                member = tarfile.TarInfo(f"{key}.{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def locate_frames(shard: bytes) -> dict[str, dict[str, slice]]:
    """Where the files of each frame lie in a tar: key -> what follows the key's dot -> bytes of the tar."""
    frames: dict[str, dict[str, slice]] = {}
    with tarfile.open(fileobj=io.BytesIO(shard), mode="r:") as tar:
        for member in tar:
            key, _, name = member.name.partition(".")
            frames.setdefault(key, {})[name] = slice(member.offset_data, member.offset_data + member.size)
    return frames


def decode_shard(shard: bytes) -> Iterator[HandSample]:
    """The samples of a tar in order."""
    for files in locate_frames(shard).values():
        yield decode_sample({name: shard[where] for name, where in files.items()})


def decode_sample(files: dict[str, bytes]) -> HandSample:
    """The files of a frame -> the sample."""
    labels = json.loads(files["json"])
    colour = _image(files.get("colour.jpg"))
    frame = Frame(
        labels["index"],
        labels["time_s"],
        amplitude=_image(files.get("amplitude.png")),
        depth=_image(files.get("depth.png")),
        depth_unit_mm=labels["depth_unit_mm"],
        camera=Camera(**labels["camera"]),
        colour=None if colour is None else cv2.cvtColor(colour, cv2.COLOR_BGR2RGB),
    )
    hands = tuple(
        HandLabel(
            side=hand["side"],
            keypoints_px=np.array(hand["keypoints_px"], np.float32),
            keypoints_m=np.array(hand["keypoints_m"], np.float32),
            visible=np.array(hand["visible"], bool),
            key_pose=KEY_POSES.index(hand["key_pose"]),
            orientation=hand["orientation"],
        )
        for hand in labels["hands"]
    )
    return HandSample(frame, hands, _image(files["segmentation.png"]))


def _encode_sample(sample: HandSample, clip: int, person: int) -> dict[str, bytes]:
    frame = sample.frame
    pictures = {"amplitude": frame.amplitude, "depth": frame.depth, "segmentation": sample.segmentation}
    files = {f"{what}.png": _encode(".png", p, _PNG) for what, p in pictures.items() if p is not None}
    if frame.colour is not None:
        files["colour.jpg"] = _encode(".jpg", cv2.cvtColor(frame.colour, cv2.COLOR_RGB2BGR), _JPEG)
    labels = json.dumps(_labels(sample, clip, person), separators=(",", ":"))
    return dict(sorted(files.items())) | {"json": labels.encode()}


def _labels(sample: HandSample, clip: int, person: int) -> dict:
    frame = sample.frame
    return {
        "clip": clip,
        "index": frame.index,
        "time_s": round(frame.time_s, 6),
        "person": person,
        "camera": vars(frame.camera),
        "depth_unit_mm": frame.depth_unit_mm,
        "hands": [
            {
                "side": hand.side,
                "keypoints_px": _rounded(hand.keypoints_px, _PX_DIGITS),
                "keypoints_m": _rounded(hand.keypoints_m, _M_DIGITS),
                "visible": hand.visible.tolist(),
                "key_pose": KEY_POSES[hand.key_pose],
                "orientation": hand.orientation,
            }
            for hand in sample.hands
        ],
    }


def _rounded(values: np.ndarray, digits: int) -> list:
    return np.round(values.astype(np.float64), digits).tolist()


def _encode(kind: str, picture: np.ndarray, how: tuple[int, ...]) -> bytes:
    return cv2.imencode(kind, picture, how)[1].tobytes()


def _image(content: bytes | None) -> np.ndarray | None:
    """As stored: grey of 8 or 16 bits, or blue, green, red."""
    return None if content is None else cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
