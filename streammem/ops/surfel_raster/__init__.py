"""Surfels drawn as discs through a z-buffer, on numpy arrays and torch tensors alike."""

from streammem.ops.surfel_raster.choose import surfel_raster

__all__ = ["surfel_raster"]
