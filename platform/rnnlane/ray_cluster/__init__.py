"""The connection to Ray, its resources and its storage."""
