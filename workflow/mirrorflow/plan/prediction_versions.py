"""Params ``version`` of the rules that train on labels and predict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirrorflow.config import versions
from mirrorflow.config.protocols import epoch_of_adaptation
from mirrorflow.config.queries import version_of_family, version_with_settings
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards


@dataclass(frozen=True, eq=False)
class PredictionVersions:
    """Versions of what makes a method's predictions under a protocol."""

    run: Run

    def _version(self, version: int | str, wildcards: Wildcards) -> int | str:
        return version_with_settings(version, self._method(wildcards), self.run.protocol(wildcards)["epoch"])

    def _method(self, wildcards: Wildcards) -> Mapping[str, Any]:
        return self.run.config["methods"][wildcards.method]

    def probe_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of linear heads, and of how their epoch is chosen."""
        return self._version(versions.PROBE, wildcards)

    def adapted_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of adaptation, and of how its epoch is chosen."""
        epoch = epoch_of_adaptation(self.run.protocol(wildcards)["epoch"])
        return version_with_settings(versions.ADAPTATION, self._method(wildcards), epoch)

    def supervised_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of training on labels, and of the method's family."""
        return self._version(version_of_family(versions.SUPERVISED, self.run.family(wildcards.method)), wildcards)

    def classical_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of classical methods, and of the method's family."""
        return self._version(version_of_family(versions.BASELINES, self.run.family(wildcards.method)), wildcards)
