"""The vectors of all entries and the search among them: exact, by cells, by one-bit codes."""
