"""Generation backends, each one file; `registry.py` has those in use."""
