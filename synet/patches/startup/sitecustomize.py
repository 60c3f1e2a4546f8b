"""Python runs this when it starts, in every process below ``synet run`` and below a patch.

Programs that have nothing to do with SyNet pass through it as well, in whatever Python
3 they bring. So it needs the standard library alone, does nothing before torch is imported
(which a script does once it has set torch's environment variables, and most programs
never), and hands over to the ``sitecustomize`` that the user has.
"""

import os
import sys
from importlib.machinery import SourceFileLoader


class PatchOnceTorchIsThere:
    """An import hook that finds nothing itself, and puts the patch in place after torch."""

    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            _triton_first()
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 if self in finders else 0 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find else None
            if spec is not None:
                if isinstance(spec.loader, SourceFileLoader):
                    self._hook(spec.loader)
                return spec
        return None

    def _hook(self, loader):
        execute = loader.exec_module

        def exec_module(module):
            vars(loader).pop("exec_module", None)  # the module's __loader__ is as Python made it
            execute(module)
            if self not in sys.meta_path:  # the patch came while this module was being executed
                _seen(module)
            elif module.__name__ == "torch":
                sys.meta_path.remove(self)
                _patch()

        loader.exec_module = exec_module


def _triton_first():
    try:
        from synet.system.import_order import triton_before_tensorflow
    except ImportError:
        return
    triton_before_tensorflow()


def _seen(module):
    patches = sys.modules.get("synet.patches.process")
    if patches is not None:
        patches.executed(module)


def _patch():
    """Do what the environment says, which a process may have withdrawn by now."""
    import json

    settings = json.loads(os.environ.get("SYNET_RUN") or "null")
    if settings is None:
        return
    python, origin = settings.pop("python"), settings.pop("origin")
    try:
        from synet.patches.process import patch_custom
        from synet.system.errors import SynetError
    except ImportError as error:
        _stop(
            f"{sys.executable} cannot be patched ({error}): install SyNet into it "
            f"({sys.executable} -m pip install {origin}), or run {python}, which has it"
        )
    try:
        patch_custom(**settings)
    except SynetError as error:
        _stop(error.told, error.exit_status)


def _stop(reason, status=2):
    sys.stderr.write(f"synet: {reason}\n")
    raise SystemExit(status)


folder = os.path.dirname(__file__)
sys.path[:] = [entry for entry in sys.path if entry != folder]
if os.environ.get("SYNET_RUN"):
    sys.meta_path.insert(0, PatchOnceTorchIsThere())

# Where the user has none, this is the ImportError that Python's own ``site`` expects then.
del sys.modules[__name__]
import sitecustomize  # noqa: E402, F401
