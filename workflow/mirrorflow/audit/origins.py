"""Where a table's predictions come from: files that were changed, and methods that saw different inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mirrorflow.audit.findings import LEAK, WARNING, Finding
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.store.method_predictions import EDITED, FIX, Manifest
from mirrorflow.store.predictions import Predictions

WITHOUT_SLIDES = "none"
"""The encoder of methods without slides."""

DIGESTS = {"features": "features_digest", "expression": "expression_digest"}
"""What methods see -> the note of their predictions that says which it was."""


@dataclass
class Contents:
    """Predictions files against the checksums of their manifests."""

    edited: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def read(self, manifest: Manifest, name: str, stored: Predictions) -> None:
        """Take note of one file."""
        place = PredictionsManifest.parse(manifest.path)
        where = f"{place.encoder}/{place.method}/{name}"
        if name not in manifest.checksums:
            self.unknown.append(where)
        elif manifest.is_edited(name, stored):
            self.edited.append(where)

    def findings(self) -> Iterator[Finding]:
        """Changed files are a leak; those of which nothing was noted a warning."""
        if self.edited:
            count = len(self.edited)
            text = f"{count} predictions files are not what was written: their content was changed afterwards; {FIX}"
            yield Finding(LEAK, EDITED, text, None, count, tuple(self.edited[:5]))
        if self.unknown:
            text = (
                f"{len(self.unknown)} predictions files have no checksum in their manifest (made before there were "
                "any, or taken out): whether they were changed is unknown; delete the manifests and run again, which "
                "keeps the files"
            )
            yield Finding(WARNING, "no_checksum", text, None, len(self.unknown), tuple(self.unknown[:5]))


@dataclass
class Origins:
    """Digests of the features and expression that the methods of a protocol and cohort saw, as their files note."""

    seen: dict[tuple[str, str, str], dict[str, set[str]]] = field(default_factory=dict)
    """(features or expression, encoder, patients) -> digest -> methods. Expression is the same for all encoders."""

    def read(self, encoder: str, method: str, notes: Mapping[str, Any], whose: str = "") -> None:
        """Take note of one file; one that says nothing is passed over.

        whose: stands for the patients that the method takes; the digest of features is of theirs.
        """
        for what, key in DIGESTS.items():
            if digest := notes.get(key):
                place = (what, encoder, whose) if what == "features" else (what, "", "")
                self.seen.setdefault(place, {}).setdefault(str(digest), set()).add(method)

    def findings(self) -> Iterator[Finding]:
        """A table whose methods saw different features of an encoder, or different expression, compares nothing."""
        for (what, encoder, _), methods in sorted(self.seen.items()):
            if len(methods) > 1:
                groups = sorted(", ".join(sorted(names)) for names in methods.values())
                of = f" of {encoder}" if encoder and encoder != WITHOUT_SLIDES else ""
                text = (
                    f"the methods of one table saw {len(methods)} versions of the {what}{of}: {' | '.join(groups)}; "
                    "delete the manifests of these methods' predictions and run again"
                )
                examples = tuple(sorted({name for names in methods.values() for name in names})[:5])
                yield Finding(LEAK, f"mixed_{what}", text, None, len(methods), examples)
