"""What is assumed of slides that nobody has looked at yet."""

ASSUMED_PATCHES = 11_000
"""256 px at 20x of a diagnostic slide of TCGA, where not one slide could be looked at."""

ASSUMED_SIDE_UM = 128.0
