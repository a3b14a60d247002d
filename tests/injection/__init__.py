"""What becomes of a channel when an exception strikes inside the library's own code (rule 31)."""
