"""The wiring: sources, encoders, memories and answerers put together, one verb a module."""
