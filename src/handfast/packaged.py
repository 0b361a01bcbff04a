"""The networks that come along, by name: what is packaged under assets/."""

# On whole grey images, with C in 8-bit integers too; then the others.
IN_GREY = ("tofnet-hand21", "tofnet-tof8")
ON_IMAGES = (*IN_GREY, "tofnet-rgb")
PACKAGED = (*ON_IMAGES, "dense-hand21", "dirnet", "ace")

# What tracks unless another is asked for, and finds hands for the networks on crops; and what does in colour.
DEFAULT_MODEL = "tofnet-hand21"
COLOUR_FINDER = "tofnet-rgb"
