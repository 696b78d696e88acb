"""From a question and what a memory holds to an answer."""
