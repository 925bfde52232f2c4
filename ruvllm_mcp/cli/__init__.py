"""The shell door: `ruvllm …`. One file a command group; `main.py` joins them.

Command files import nothing heavy at their top, so that `ruvllm --help` is instant.
"""
