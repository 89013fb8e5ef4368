"""Text as models take it: tokens."""
