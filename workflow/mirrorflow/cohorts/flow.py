"""The flow of a cohort: who was dropped at which step, and how many were left after each."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Flow:
    """Who was dropped at which step, and how many were left after it."""

    dropped: list[dict[str, str]] = field(default_factory=list)
    steps: list[dict[str, object]] = field(default_factory=list)

    def drop(
        self,
        step: str,
        patients: Iterable[str],
        reasons: str | Iterable[str],
        slide_ids: Iterable[str] | None = None,
    ) -> None:
        """Record patients, or single slides of theirs, that fall out at ``step``, for one reason or a reason each."""
        names = list(patients)
        why = [reasons] * len(names) if isinstance(reasons, str) else list(reasons)
        slides = [""] * len(names) if slide_ids is None else list(slide_ids)
        for patient, slide, reason in zip(names, slides, why, strict=True):
            self.dropped.append({"step": step, "patient": patient, "slide_id": slide, "reason": reason})

    def count(self, step: str, patients: int, slides: int) -> None:
        """Record what is left after ``step``."""
        self.steps.append({"step": step, "patients": patients, "slides": slides})
