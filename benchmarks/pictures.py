"""What all pictures of the demo cost: figures, slides, genes and maps drawn again from a finished run.

    make run
    python benchmarks/pictures.py [--folder .] [--cores 2]

The folder holds the demo's results/ and store/. Its picture rules run again through Snakemake, side by side on --cores
cores and forked from its warm process, as in a run; then the page. Prints name=value lines last: seconds from the start
of the first picture's job to the end of the last one's, and the seconds of each rule's jobs. Both have the waiting for
the warm process among them.
"""

import argparse
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = ("draw_figures", "explain_slides", "explain_genes", "map_embeddings")
EVENT = re.compile(
    r"^\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]\n(?:rule (\w+):|Finished jobid: \d+ \(Rule: (\w+)\))", re.MULTILINE
)


def draw_again(folder: Path, cores: int) -> tuple[float, float]:
    """Seconds of the whole command, and from the first job to the end of the last. Raises where it fails."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores)]
    command += ["--workflow-profile", str(ROOT / "profiles" / "small"), "--forcerun", *RULES]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    wall = time.perf_counter() - started
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:])
        done.check_returncode()
    events = [text for text, started_, ended in EVENT.findall(done.stdout) if (started_ or ended) in RULES]
    stamps = [datetime.strptime(text, "%a %b %d %H:%M:%S %Y") for text in events]
    return wall, (max(stamps) - min(stamps)).total_seconds()


def seconds_of(folder: Path, rule: str) -> float:
    """Seconds of a rule's jobs together, as Snakemake measured them."""
    files = sorted((folder / "results/demo/benchmarks" / rule).rglob("*.tsv"))
    return sum(float(file.read_text().splitlines()[1].split("\t")[0]) for file in files)


def main() -> None:
    """Draw, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT)
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    wall, span = draw_again(given.folder, given.cores)
    for rule in RULES:
        print(f"{rule}_seconds={seconds_of(given.folder, rule):.1f}")
    print(f"command_seconds={wall:.1f}")
    print(f"pictures_seconds={span:.0f}")


if __name__ == "__main__":
    main()
