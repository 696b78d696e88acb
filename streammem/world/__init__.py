"""The generator: a video diffusion model that is conditioned on what was remembered."""
