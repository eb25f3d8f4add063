"""Sphinx: the pages of this folder as a site, see `make docs`."""

import sys
from pathlib import Path

folder = Path(__file__).parent
sys.path[:0] = [str(folder), str(folder / "notebooks")]  # for site_parts, site_sphinx and frames

project = "elbogap"
author = copyright = "the authors of elbogap"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_sphinx"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "outlines"  # of site_sphinx: nothing is loaded from the network

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
nitpicky = True
# Annotations name more than the site shows: other packages, layers above, type variables.
nitpick_ignore_regex = [
    ("py:class", r"(?!elbogap).*"),
    ("py:class", r"elbogap\.(config|data|nn|runtime)\..*"),
    ("py:(class|obj)", r"elbogap\..*\.(Q|AnyKernel|Value|Member|Result)"),
    ("py:func", r"scipy\..*"),
]

highlight_language = "none"  # formulas and output; programs say what they are

html_theme = "furo"
html_title = "elbogap"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["explorer.js"]
html_copy_source = html_use_index = html_domain_indices = False
html_show_sphinx = False
