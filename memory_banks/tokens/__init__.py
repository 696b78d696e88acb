"""XMem's memory of tokens, for models that bring keys and values of their own."""
