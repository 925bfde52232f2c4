"""What a doctor finds, whatever the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """Something wrong. `name` identifies the kind; `is_repairable` says whether `repair` puts it right."""

    name: str
    detail: str
    is_repairable: bool
