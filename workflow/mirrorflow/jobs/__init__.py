"""What each rule does: read from the store, call the science, write to the store. Resumable."""
