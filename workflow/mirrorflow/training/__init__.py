"""Training and embedding: bags, batches, epochs, checkpoints handed in and out."""
