import numpy as np

from handfast.data.colour_grounds import add_skin, blend, texture


def test_alpha_is_the_share_of_what_is_above():
    below, above = np.full((4, 3, 3), 40, np.uint8), np.full((4, 3, 3), 200, np.uint8)
    alpha = np.zeros((4, 3), np.float32)
    alpha[1], alpha[2] = 0.25, 1.0
    assert blend(below, above, alpha)[:, 0, 0].tolist() == [40, 80, 200, 40]


def test_textures_are_all_different_and_answer_to_the_generator():
    seen = {texture(np.random.default_rng(seed), 160, 120).tobytes() for seed in (0, 1, 2, 3, 0)}
    assert len(seen) == 4
    assert texture(np.random.default_rng(0), 160, 120).shape == (120, 160, 3)


def test_skin_covers_a_part_and_is_redder_than_blue():
    """As skin is, light or dark, under white light."""
    ground = np.full((120, 160, 3), (40, 60, 200), np.uint8)
    shares, redder = [], []
    for seed in range(60):
        picture = add_skin(np.random.default_rng(seed), ground)
        changed = (np.abs(picture.astype(int) - ground) > 25).any(axis=2)
        shares.append(changed.mean())
        if changed.mean() > 0.02:
            red, _, blue = picture[changed].astype(int).mean(axis=0)
            redder.append(red > blue)
    assert max(shares) < 0.7 and np.median(shares) > 0.02
    assert np.mean(redder) > 0.7 and len(redder) > 30
