"""Where an exported file keeps its card."""

CARD_KEY = "handfast_card"  # of the ONNX metadata; the value is JSON
