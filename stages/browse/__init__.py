"""Browse: a folder with a page of who was where, or of what a search found. No server, no network."""
