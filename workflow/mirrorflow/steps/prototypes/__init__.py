"""What a trained model makes of its prototypes."""
