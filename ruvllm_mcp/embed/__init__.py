"""Text to vectors. `load(name)` gives the embedder of that name, made once per process."""
