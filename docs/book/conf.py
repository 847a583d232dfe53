"""Settings of the book: the notebooks as they are stored, and the package from its docstrings."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

project = "InstanceID"
copyright = "the InstanceID authors"  # noqa: A001 - Sphinx asks for this name
version = re.search(
    r'__version__ = "(.+?)"', (ROOT / "instanceid_utils/__init__.py").read_text("utf-8")
)[1]
extensions = ["myst_nb", "autoapi.extension", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
nb_execution_mode = "off"  # what is stored is what the tests compare
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
napoleon_google_docstring = False
autoapi_dirs = [str(ROOT / "instanceid_utils")]
autoapi_root = "api"
autoapi_options = ["members", "show-module-summary"]
autoapi_member_order = "groupwise"
autoapi_keep_files = False
autoapi_add_toctree_entry = False
html_theme = "furo"
html_title = f"InstanceID {version}"
html_static_path = []
exclude_patterns = ["_build"]
# Links to folders and scripts of the repository have no page here; docstrings name NumPy's types.
suppress_warnings = ["myst.xref_missing", "autoapi.python_import_resolution", "ref.python"]
