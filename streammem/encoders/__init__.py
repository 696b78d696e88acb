"""Encoders: what turns frames and words into keys of one space."""
