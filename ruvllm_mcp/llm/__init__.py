"""Answers from a prompt and the memories that belong to it."""
