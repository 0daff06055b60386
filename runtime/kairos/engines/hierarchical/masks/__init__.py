"""Where the objects of a shot come from."""
