"""The pictures of the page in the documentation, taken of a fleet at work."""
