"""Runs a script as on a machine that has torch, timm and numpy: `python bare_machine.py [-u] [-m MODULE] SCRIPT ...`.

Any other package that this project wants is not found, unless BARE_HAS names it.
"""

import os
import runpy
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path

MISSING = {
    *("snakemake", "openslide", "lifelines", "sksurv", "pandas", "pyarrow", "scipy", "sklearn", "h5py", "cv2"),
    *("tifffile", "imagecodecs", "wsidicom", "pydicom", "matplotlib", "jsonschema", "psutil", "nystrom_attention"),
    *("einops", "joblib", "numba", "statsmodels", "seaborn", "zarr", "skimage", "pooch", "openpyxl", "jinja2_time"),
    *("captum", "umap", "pynndescent", "llvmlite", "anndata", "playwright"),
} - set(os.environ.get("BARE_HAS", "").split(","))


class NotThere(MetaPathFinder, Loader):
    """Finds what is missing, and says so when it is loaded: torch asks for some by their spec alone."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] in MISSING else None

    def create_module(self, spec):
        message = f"No module named {spec.name!r}"
        raise ModuleNotFoundError(message, name=spec.name)

    def exec_module(self, module):
        raise AssertionError


if __name__ == "__main__":
    sys.meta_path.insert(0, NotThere())
    sys.argv = [word for word in sys.argv[1:] if word != "-u"]
    if sys.argv[0] == "-m":
        runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
        runpy.run_path(sys.argv[0], run_name="__main__")
