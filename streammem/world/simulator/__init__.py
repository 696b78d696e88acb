"""Simulated worlds: exact pictures, depth and poses, to train on and to measure against."""
