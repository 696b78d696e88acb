"""What people use: the command line, batch files and pages, each put on a pipeline."""
