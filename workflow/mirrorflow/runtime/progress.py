"""Progress as plain lines: what is done, how fast, how long still."""

import logging
import time
from datetime import timedelta

logger = logging.getLogger("mirrorflow.runtime.progress")


class Progress:
    """Counts finished items and logs a line at most every ``every_s`` seconds, and at the end.

    ``kept`` items were finished by an earlier run: they count as done, not towards the rate.
    """

    def __init__(self, label: str, total: int, unit: str, *, kept: int = 0, every_s: float = 5.0) -> None:
        self.label, self.total, self.unit, self.every_s = label, total, unit, every_s
        self.kept, self.done = kept, kept
        self.started = time.monotonic()
        self.said = self.started
        if kept:
            logger.info("%s: %d of %d %s kept from an earlier run", label, kept, total, unit)

    def step(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more items as done; ``note`` ends the line (a loss, a slide's name)."""
        self.done += count
        now = time.monotonic()
        if now - self.said < self.every_s and self.done < self.total:
            return
        self.said = now
        rate = (self.done - self.kept) / max(now - self.started, 1e-9)
        left = timedelta(seconds=round((self.total - self.done) / rate)) if rate else "unknown"
        logger.info(
            "%s: %d/%d %s, %.2f/s, %s left%s",
            self.label,
            self.done,
            self.total,
            self.unit,
            rate,
            left,
            f" ({note})" if note else "",
        )
