"""The two lines at the top of a fork's ``train.py``::

    from synet.custom_patches import patch_custom

    patch_custom("katana")

They may stand before or after the fork's own imports.
"""

from synet.patches.process import patch_custom, unpatch

__all__ = ["patch_custom", "unpatch"]
