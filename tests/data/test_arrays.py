import numpy as np
import pytest

from handfast.data.arrays import MIN_INSIDE, MIN_VISIBLE, inside_image, load_split, pack
from handfast.data.cards import finished_card
from handfast.errors import HandfastError
from handfast.geometry import Camera
from handfast.structures import Frame, HandLabel, HandSample

CAMERA = Camera(100, 100, 15.5, 11.5, 32, 24)


def hand(side, inside=21, seen=21, key_pose=0):
    """A hand with its first key-points inside the image, the others to the left of it."""
    points = np.full((21, 2), 5.0, np.float32)
    points[inside:, 0] = -8
    return HandLabel(
        side=side,
        keypoints_px=points,
        keypoints_m=np.ones((21, 3), np.float32),
        visible=np.arange(21) < seen,
        key_pose=key_pose,
        orientation=3,
    )


def sample(*hands):
    image = np.full((24, 32), 9, np.uint8)
    frame = Frame(0, 0.0, amplitude=image, depth=image.astype(np.uint16) * 100, camera=CAMERA)
    return HandSample(frame, hands, image * 0)


def test_hands_go_to_the_slot_of_their_side():
    arrays = pack([sample(hand("right", key_pose=4)), sample(), sample(hand("left"), hand("right"))])
    assert arrays["present"].tolist() == [[False, True], [False, False], [True, True]]
    assert arrays["key_pose"][0].tolist() == [0, 4] and arrays["orientation"][0].tolist() == [0, 3]
    assert (arrays["keypoints_px"][0, 1] == 5).all() and not arrays["keypoints_px"][1].any()
    assert arrays["amplitude"].shape == (3, 24, 32) and (arrays["depth_mm"] == 900).all()
    assert "colour" not in arrays


@pytest.mark.parametrize(
    ("inside", "seen", "present"),
    [
        (MIN_INSIDE, MIN_VISIBLE, True),
        (MIN_INSIDE - 1, MIN_VISIBLE, False),
        (MIN_INSIDE, MIN_VISIBLE - 1, False),
    ],
)
def test_a_hand_is_present_if_enough_of_it_is_in_the_picture(inside, seen, present):
    arrays = pack([sample(hand("left", inside, seen))])
    assert arrays["present"].tolist() == [[present, False]]
    assert arrays["visible"][0, 0].sum() == seen


def test_of_two_left_hands_the_one_seen_more_is_kept():
    for order in (1, -1):
        hands = (hand("left", seen=6, key_pose=1), hand("left", seen=20, key_pose=2))[::order]
        assert pack([sample(*hands)])["key_pose"].tolist() == [[2, 0]]


def test_a_depth_crop_has_no_amplitude():
    depth = np.ones((24, 32), np.uint16)
    arrays = pack([HandSample(Frame(0, 0.0, depth=depth, camera=CAMERA), (hand("right"),), None)])
    assert not {"amplitude", "colour", "segmentation"} & arrays.keys()


def test_the_image_reaches_half_a_pixel_beyond_the_centres_of_its_edge():
    points = np.array([[-0.5, -0.5], [31.4, 23.4], [31.5, 0], [0, 23.5], [-0.6, 0]])
    assert inside_image(points, 32, 24).tolist() == [True, True, False, False, False]


def test_a_split_on_disk_is_what_was_made(tof_folder, tiny_tof):
    world = tiny_tof.make_world(tiny_tof.seed)
    samples = [next(tiny_tof.clip(world, "train", clip)) for clip in range(7)]
    expected = pack(samples)
    arrays = load_split(tof_folder, finished_card(tof_folder, "train"), "train")
    for name in ("amplitude", "depth_mm", "segmentation", "present", "visible", "key_pose", "orientation"):
        assert (arrays[name] == expected[name]).all() and arrays[name].dtype == expected[name].dtype, name
    for name, error in (("keypoints_px", 1e-4), ("keypoints_m", 1e-6)):
        assert np.allclose(arrays[name], expected[name], atol=error, rtol=0)


def test_an_edited_shard_is_named(tof_copy):
    path = tof_copy / "train" / "shard-00002.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(HandfastError, match=r"shard-00002\.tar"):
        load_split(tof_copy, finished_card(tof_copy, "train"), "train")
