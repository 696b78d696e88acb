"""Ways in which long-term memory makes room: one file each, chosen by name, of one interface."""
