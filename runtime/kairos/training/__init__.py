"""Training of Kairos' own networks, on data that Kairos makes."""
