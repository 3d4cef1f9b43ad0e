"""What the network `tta` is made of: tokens, assignment to prototypes, views, refinement and fusion."""
