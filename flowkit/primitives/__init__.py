"""What workflow code may do, one concept per file. Each is a frozen value that the rule in `engine.replay` performs."""
