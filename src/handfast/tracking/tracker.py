"""Find the hands in each frame and follow them: look at the whole frame, then again closely at each hand.

for frame, hands in Tracker().track("clip.zip"):
    ...
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from handfast.codecs import decode_expected, decode_probabilities, input_to_map, map_to_input, probabilities
from handfast.errors import HandfastError
from handfast.geometry import Camera, apply_affine, crop_affine, fit_affine, invert_affine
from handfast.hand_model.outline import expected_from_others, load_outline_prior
from handfast.packaged import DEFAULT_MODEL
from handfast.runtime.lifting import in_palm, lift
from handfast.runtime.model import Model, load_model
from handfast.sensors.images import measured_depth_m, normalise_exposure, proximity_image
from handfast.sensors.sources import open_source
from handfast.sensors.views import halvings, look_affine, take_view, without_strays
from handfast.skeleton import HAND21, SIDES
from handfast.structures import Frame, HandPose
from handfast.tracking.finds import (
    MOST_HANDS,
    SAME_HAND,
    SIDE_MEMORY,
    SURE,
    Find,
    apart,
    believed,
    distinct,
    is_no_ghost,
    merged,
    one_of_two,
    sides_of,
)
from handfast.tracking.looks import Look, cells_near, fused
from handfast.tracking.sizes import Sizes

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

# Of the skin before a hand's joints, in the middle of a clip's, as shares of the mean hand: 0.8 to 1.25 in
# clips of people whom no network has seen.
HAND_SIZES = (0.65, 1.4)
FOUND = VISIBLE = 0.5  # probability at which a hand counts as found, and a key-point as visible
SHARP = 0.09  # below this share of a heat-map around its peak a close look shows no hand
BESIDE = 0.12  # of a hand's size: what is nearer to one of its key-points is a part of it
LOST = 0.8  # below this share of the best score before, something has happened
SEARCH_EVERY = 5  # frames, while a hand is followed and another may come
# Each close look starts from where the one before found the hand: a new one has to be homed in on.
HOMING_LOOKS = 2
STEADY_ZOOMS, FAST_ZOOMS = (0.85, 1.0, 1.15), (1.0,)
ROUGH_FINDS, IDEAS = 14, 12  # as many are looked at closely
# The first looks at a new hand: turns and zooms, as the whole frame may show too little to tell.
FIRST_LOOKS = tuple((turn, zoom) for zoom in (1.0, 0.6) for turn in (0.0, np.pi / 2, np.pi, -np.pi / 2))
# Centres, in shares of the frame, of the parts that are searched for small hands.
PARTS = tuple((x, y) for y in (0.3, 0.7) for x in (0.25, 0.5, 0.75))


class Tracker:
    """Tracks up to two hands through the frames of one sensor.

    model: a packaged name, an .onnx file, or a loaded Model. A hand has the key-points of its skeleton.
    backend: what runs a model that is not loaded, None for c where there is a compiler; see ``load_model``.
    fast: look at each hand from one distance instead of three, in less time; key-points are less steady.
    """

    def __init__(
        self, model: str | Path | Model = DEFAULT_MODEL, backend: str | None = None, fast: bool = False
    ) -> None:
        self.model = model if isinstance(model, Model) else load_model(model, backend)
        self._root, self._palm = self.model.skeleton.parents.index(-1), in_palm(self.model.skeleton)
        self._previous: list[Find] = []
        self._sizes = Sizes(*HAND_SIZES)
        self._zooms = FAST_ZOOMS if fast else STEADY_ZOOMS
        self._tracks = self._frames = self._turn = 0

    def track(self, source: str | Path | Iterable[Frame]) -> Iterator[tuple[Frame, list[HandPose]]]:
        """Each frame of a source with the hands in it. A path is opened as `handfast track` would open it.

        Raises HandfastError for what cannot be read.
        """
        frames = open_source(source) if isinstance(source, str | Path) else source
        self.forget()
        for frame in frames:
            yield frame, self.step(frame)

    def forget(self) -> None:
        """What comes next has nothing to do with the frames before."""
        self._previous, self._frames, self._turn = [], 0, 0
        self._sizes.forget()

    @property
    def wrong_size(self) -> float | None:
        """Of the latest sure hands in space, as ``Sizes.wrong``."""
        return self._sizes.wrong

    def step(self, frame: Frame, search: bool = False) -> list[HandPose]:
        """The hands in the next frame, knowing those of the frames before.

        search: look for another hand at once, rather than now and then. Raises HandfastError for what is no
        frame or one without the picture that the model sees, and as ``measured_depth_m``.
        """
        if not isinstance(frame, Frame):
            raise HandfastError(
                f"expected a Frame, such as Frame(0, 0.0, amplitude=image), got {type(frame).__name__}"
            )
        depth_m = None if frame.depth is None else measured_depth_m(frame)
        levels = halvings(self._picture(frame, depth_m), self.model.input_size[0])
        # The first look goes where the hand was, the steady one where it is now.
        followed = self._look_steadily(levels, self._look_closely(levels, self._previous))
        followed = [self._remembering(find) for find in followed]
        finds = followed
        if parts := self._parts_to_search(followed, search):
            finds = distinct([*followed, *self._search(levels, followed, parts)])
        self._frames += 1
        hands = believed(finds)
        gone = [old for old in followed if old not in hands]
        hands = [self._numbered(find, gone) for find in hands]
        sides = sides_of(hands)
        self._previous = [
            self._consistent(find, side, [other for other in hands if other is not find])
            for find, side in zip(hands, sides, strict=True)
        ]
        told = [
            _as_pose(find, side, depth_m, frame.camera, self._palm)
            for find, side in zip(self._previous, sides, strict=True)
            if is_no_ghost(find) or not self.model.card.in_colour
        ]
        for hand in told:
            if hand.xyz_mm is not None and hand.score > SURE:
                self._sizes.add(hand.xyz_mm, self.model.skeleton)
        return told

    def _picture(self, frame: Frame, depth_m: np.ndarray | None) -> np.ndarray:
        """What of a frame the model sees."""
        if self.model.card.in_colour:
            if frame.colour is None:
                raise HandfastError(
                    f"frame {frame.index}: {self.model.card.name} needs a picture in colour, got none; give "
                    f"it a colour video, or choose a model for infrared and depth such as {DEFAULT_MODEL}"
                )
            return frame.colour
        if frame.amplitude is not None:
            return frame.amplitude
        if depth_m is not None:
            return proximity_image(depth_m)
        return cv2.cvtColor(frame.colour, cv2.COLOR_RGB2GRAY)

    def _parts_to_search(self, followed: list[Find], search: bool) -> list[tuple[float, float]]:
        """Which parts of the frame to search beside the whole.

        All at first and after a hand was lost, some in turn while there is none or fewer than there may be.
        """
        before = max((find.score for find in self._previous), default=0.0)
        now = max((find.score for find in followed), default=0.0)
        if self._frames == 0 or now < LOST * before:
            return list(PARTS)
        if not followed:
            some = 2
        elif (search or self._frames % SEARCH_EVERY == 0) and len(_sure(followed)) < MOST_HANDS:
            some = 1
        else:
            return []
        self._turn += some
        return [PARTS[i % len(PARTS)] for i in range(self._turn - some, self._turn)]

    def _search(
        self, levels: list[np.ndarray], followed: list[Find], parts: list[tuple[float, float]]
    ) -> list[Find]:
        """Hands in the whole frame and in parts of it: rough finds, of which the best ideas are homed in on;
        while a hand is followed well, one rough find has to do."""
        sure = _sure(followed)
        views = self._search_views(levels[0].shape[:2], parts)
        rough = [find for view in self._look(levels, views, self.model.run) for find in view]
        rough = [find for find in distinct(rough) if all(apart(find, hand) > SAME_HAND for hand in sure)]
        ideas = rough[: 1 if sure else ROUGH_FINDS]
        ideas = [idea for turn, zoom in FIRST_LOOKS for idea in self._look_closely(levels, ideas, turn, zoom)]
        for _ in range(HOMING_LOOKS):
            best = distinct(ideas)[:IDEAS]
            ideas = self._look_closely(levels, best) + best  # a look may also be worse than the one before
        return self._look_steadily(levels, distinct(ideas)[:IDEAS])

    def _search_views(self, shape: tuple[int, int], parts: list[tuple[float, float]]) -> list[np.ndarray]:
        """Affines that show the whole frame and, as small hands are blurs there, parts of half its size."""
        (width, height), (high, wide) = self.model.input_size, shape
        whole = fit_affine(wide, high, width, height)
        return [whole] + [
            crop_affine((x * (wide - 1), y * (high - 1)), 0.5 * width / whole[0, 0], width, height)
            for x, y in parts
        ]

    def _look(self, levels: list[np.ndarray], affines: list[np.ndarray], run: Run) -> list[list[Find]]:
        """Run the network on the picture seen through each affine: what it finds, per affine."""
        width, height = self.model.input_size
        views = [take_view(levels, A, width, height) for A in affines]
        if not self.model.card.in_colour:
            views = [normalise_exposure(view) for view in views]
        logits, visibility = run(np.stack(views))
        maps = probabilities(logits)
        keypoints, sharpness = decode_probabilities(maps)
        stride = width // maps.shape[-1]
        keypoints = map_to_input(keypoints, stride)
        probability = 1 / (1 + np.exp(-visibility))
        finds = []
        for view, A in enumerate(affines):
            back = invert_affine(A)
            to_cells = np.column_stack([A[:, :2] / stride, input_to_map(A[:, 2], stride)])
            left, right = visibility[view, :, 0].astype(float)
            # That the other hand is not there speaks for this one; that it is there says nothing.
            side_logits = min(right, 0) - left, right - min(left, 0)
            slots = [
                Find(
                    probability=float(probability[view, slot, 0]),
                    sharpness=sharpness[view, slot],
                    side_logit=side_logits[slot],
                    keypoints_px=apply_affine(back, keypoints[view, slot]).astype(np.float32),
                    visible=probability[view, slot, 1:] > VISIBLE,
                    looks=(Look(to_cells, maps[view, slot]),),
                )
                for slot in range(len(SIDES))
            ]
            if apart(*slots) < SAME_HAND:
                slots = [one_of_two(*slots, side_logit=right - left)]
            finds.append([find for find in slots if find.probability > FOUND])
        return finds

    def _look_closely(
        self, levels: list[np.ndarray], finds: list[Find], turn_rad: float = 0.0, zoom: float = 1.0
    ) -> list[Find]:
        """Look again at each hand, upright and close; a hand that is not seen then is dropped."""
        seen = self._look_again(levels, finds, self.model.run, turn_rad, zoom)
        return [find for find in seen if find is not None]

    def _look_steadily(self, levels: list[np.ndarray], finds: list[Find]) -> list[Find]:
        """Look at each hand from several distances, both ways, and merge what is seen."""
        by_zoom = [
            self._look_again(levels, finds, self.model.run_both_ways, 0.0, zoom) for zoom in self._zooms
        ]
        return [merged(looks) for looks in zip(*by_zoom, strict=True) if any(looks)]

    def _look_again(
        self, levels: list[np.ndarray], finds: list[Find], run: Run, turn_rad: float, zoom: float
    ) -> list[Find | None]:
        if not finds:
            return []
        width, height = self.model.input_size
        looks = [
            look_affine(without_strays(find.keypoints_px), width, height, self._root, zoom, turn_rad)
            for find in finds
        ]
        closer = []
        for before, seen in zip(finds, self._look(levels, looks, run), strict=True):
            near = [find for find in seen if apart(find, before) < 1.0 and find.sharpness.mean() > SHARP]
            best = max(near, key=lambda find: find.score, default=None)
            closer.append(best and replace(best, track=before.track))
        return closer

    def _consistent(self, find: Find, side: str, others: list[Find]) -> Find:
        """The find with each key-point where its heat-maps agree with the other key-points, on another hand
        only if it is expected there; if its skeleton is the one of outlines."""
        if self.model.skeleton is not HAND21:
            return find
        means_px, covariances_px2 = expected_from_others(
            load_outline_prior(), find.keypoints_px, find.sharpness, side
        )
        look = fused(find.looks)
        to_cells = look.affine[:, :2]
        taken = [
            cells_near(look, without_strays(other.keypoints_px), BESIDE * other.size_px) for other in others
        ]
        cells = decode_expected(
            look.maps,
            apply_affine(look.affine, means_px),
            to_cells @ covariances_px2 @ to_cells.T,
            np.logical_or.reduce(taken) if taken else None,
        )
        keypoints_px = apply_affine(invert_affine(look.affine), cells).astype(np.float32)
        return replace(find, keypoints_px=keypoints_px, looks=())

    def _remembering(self, find: Find) -> Find:
        """The find with the evidence of the frames before."""
        before = next(old for old in self._previous if old.track == find.track)
        side_logit = SIDE_MEMORY * before.side_logit + find.side_logit
        return replace(
            find, side_logit=side_logit, past_sharpness=before.mean_sharpness, past_best=before.best_score
        )

    def _numbered(self, find: Find, gone: list[Find]) -> Find:
        """The find with its track: a new number, unless it is the better idea of a hand that was followed."""
        if find.track:
            return find
        for old in gone:
            if apart(find, old) < 1.0 and old.score < find.score:
                gone.remove(old)
                return replace(
                    find, track=old.track, past_sharpness=old.past_sharpness, past_best=old.past_best
                )
        self._tracks += 1
        return replace(find, track=self._tracks)


def _sure(finds: list[Find]) -> list[Find]:
    """Those that need no better idea to be looked for."""
    return [find for find in finds if find.score > SURE]


def _as_pose(
    find: Find, side: str, depth_m: np.ndarray | None, camera: Camera | None, palm: np.ndarray
) -> HandPose:
    lifts = depth_m is not None and camera is not None
    xyz_mm = 1e3 * lift(find.keypoints_px, find.visible, depth_m, camera, palm) if lifts else None
    return HandPose(
        side=side,
        score=find.score,
        keypoints_px=find.keypoints_px,
        visible=find.visible,
        xyz_mm=xyz_mm,
        track=find.track,
    )
