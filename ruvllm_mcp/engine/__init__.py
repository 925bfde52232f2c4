"""The engine: one object that walks a question from text to answer to feedback."""
