"""Smaller numbers for a trained network: calibration, 8-bit integers, and what they compute exactly."""
