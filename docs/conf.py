"""Configuration of the documentation: `nox -s docs` builds it into docs/_build/html, without the network."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars are no output of an example

import reference  # noqa: E402
import solartrack  # noqa: E402

project = "solartrack"
author = "The solartrack developers"
project_copyright = author
version = release = solartrack.__version__
repository = "https://github.com/solartrack/solartrack"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery", "**sg_execution_times.rst"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
myst_heading_anchors = 3
default_role = "py:obj"

# Types stand in the docstrings; signatures would spell out every alias.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_param = False  # types are words here: `path` is none of our attributes
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"solartrack {version}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": "solartrack"},
    "icon_links": [{"name": "GitHub", "url": repository, "icon": "fa-brands fa-github"}],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "changelog": [], "roadmap": []}


sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/plot_",
    # Figures show themselves; their text would stand below them.
    "capture_repr": ("_repr_html_",),
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "plot_gallery": True,
    "image_scrapers": ("matplotlib", "figures"),
    "reset_modules": ("matplotlib",),
}


def setup(app):
    """Write the pages of the reference before they are read; links follow a name to where it is described."""
    reference.write(HERE / "api" / "generated")
    described = reference.described()

    def follow(app, env, node, contnode):
        target = node.get("reftarget", "")
        for name in (target, f"{node.get('py:module')}.{target}"):
            if (place := described.get(name)) and place != name:
                domain = env.get_domain("py")
                return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", place, node, contnode)
        return None

    app.connect("missing-reference", follow)
