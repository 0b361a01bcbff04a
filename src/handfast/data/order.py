"""An order of a data set's frames that takes no memory."""


def shuffled(place: int, count: int, seed: int) -> int:
    """Position ``place`` of a pseudo-random permutation of range(count), without storing it: a Feistel
    network on the next power of four, walked until the value falls inside."""
    half_bits = max(1, (int(count - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    while True:
        left, right = place >> half_bits, place & mask
        for round_ in range(4):
            mixed = (right * 0x9E3779B1 + seed * 0x85EBCA6B + round_ * 0xC2B2AE35) & 0xFFFFFFFF
            mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
            left, right = right, left ^ ((mixed ^ (mixed >> 13)) & mask)
        place = (left << half_bits) | right
        if place < count:
            return place
