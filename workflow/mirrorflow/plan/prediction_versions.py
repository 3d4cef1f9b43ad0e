"""Params ``version`` of the rules that train on labels and predict."""

from dataclasses import dataclass

from mirrorflow.config import versions
from mirrorflow.config.queries import version_of_family, version_with_settings
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards


@dataclass(frozen=True, eq=False)
class PredictionVersions:
    """Versions of what makes a method's predictions under a protocol."""

    run: Run

    def _version(self, version: int | str, wildcards: Wildcards) -> int | str:
        method = self.run.config["methods"][wildcards.method]
        return version_with_settings(version, method, self.run.protocol(wildcards)["epoch"])

    def probe_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of linear heads, and of how their epoch is chosen."""
        return self._version(versions.PROBE, wildcards)

    def adapted_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of adaptation, and of how its epoch is chosen."""
        return self._version(versions.ADAPTATION, wildcards)

    def supervised_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of training on labels, and of the method's family."""
        return self._version(version_of_family(versions.SUPERVISED, self.run.family(wildcards.method)), wildcards)

    def classical_version(self, wildcards: Wildcards) -> int | str:
        """Param: version of classical methods, and of the method's family."""
        return self._version(version_of_family(versions.BASELINES, self.run.family(wildcards.method)), wildcards)
