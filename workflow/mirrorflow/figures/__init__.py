"""Numbers in, matplotlib Figures out: no files, no pyplot state, no display."""
