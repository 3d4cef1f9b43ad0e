"""Rule explain_slides: what a method's models saw on slides."""
