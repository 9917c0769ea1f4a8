# SPDX-License-Identifier: LGPL-2.1-or-later

"""tqdm's widget for notebooks."""

import importlib.util

PACKAGES = (('tqdm', 'python3-tqdm'), ('IPython', 'python3-ipython'), ('ipywidgets', 'python3-ipywidgets'))


def _is_there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # it stands for one that is not to be found
        return False


_missing = [package for module, package in PACKAGES if not _is_there(module)]
if _missing:
    raise ImportError(f"progress_bar_style='notebook' needs the missing {' and '.join(_missing)} (names of Debian "
                      "packages); install it, or choose the style 'std'")

from tqdm.notebook import tqdm_notebook  # noqa: E402

from ._bar_tqdm import DEFAULTS, TqdmBar, own  # noqa: E402


@own
class NotebookTqdm(tqdm_notebook):
    """The widget."""


def make(total, options):
    return TqdmBar(NotebookTqdm, total, DEFAULTS | {'leave': True} | options)
