"""Data flows one way through the package, and what runs on a device does without the training libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import handfast

PACKAGE = Path(handfast.__file__).parent

# A module imports from its own layer and from those before it. An entry names a module or a package; the
# longest one that fits counts.
LAYERS = (
    "errors", "packaged", "files", "processor", "jit", "skeleton", "geometry", "structures",
    "hand_model",
    "sensors", "data",
    "codecs", "models", "losses",
    "evaluation", "training",
    "export.c.network", "compression", "export",
    "runtime", "tracking",
    "evaluation.real_ir", "evaluation.tracked",  # measure the finished tracker
    "__init__",
    "bench",
    "reproduce",
    "cli_common",
    "cli_bench", "cli_data", "cli_evaluate", "cli_export", "cli_info", "cli_label", "cli_prune", "cli_score",
    "cli_synth", "cli_track", "cli_train",
    "cli",
    "__main__",
)  # fmt: skip
TRAINING_LIBRARIES = {"torch", "lightning_fabric"}
TRAINING_LAYERS = {"models", "losses", "training", "export", "bench", "reproduce"}
TORCH_HANDS = {"hand_model.torch_joints", "hand_model.torch_mano", "hand_model.torch_model"}
DEVICE_LAYERS = {
    "sensors",
    "codecs",
    "runtime",
    "tracking",
    "__init__",
    "cli_bench",
    "cli_common",
    "cli_data",
    "cli_evaluate",
    "cli_export",
    "cli_info",
    "cli_label",
    "cli_prune",
    "cli_score",
    "cli_synth",
    "cli_track",
    "cli_train",
    "cli",
    "__main__",
}
# Their commands import what trains when they are called.
TRAINING_COMMANDS = {"cli_bench", "cli_export", "cli_info", "cli_prune", "cli_train"}


def parsed_modules():
    """{name without the leading 'handfast.': syntax tree}, the package itself as '__init__'."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        modules[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return modules


MODULES = parsed_modules()


def imported(nodes):
    """Absolute dotted names that the import statements among the nodes bring in."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_modules(names):
    """The package's modules among imported names: 'handfast.geometry.Camera' -> 'geometry'."""
    found = set()
    for name in names:
        package, *parts = name.split(".")
        if package == "handfast":
            while parts and ".".join(parts) not in MODULES:
                parts.pop()
            found.add(".".join(parts) or "__init__")
    return found


def statements_at_import(tree):
    """The statements that run when the module is imported: no function bodies, no TYPE_CHECKING blocks."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        is_typing = (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_typing:
            yield node
            todo += ast.iter_child_nodes(node)


def layer_of(module):
    """Index into LAYERS, or None."""
    fitting = [layer for layer in LAYERS if f"{module}.".startswith(f"{layer}.")]
    return LAYERS.index(max(fitting, key=len)) if fitting else None


def training_libraries_in(tree):
    return {name.split(".")[0] for name in imported(ast.walk(tree))} & TRAINING_LIBRARIES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_layer_and_those_before(module):
    own = layer_of(module)
    assert own is not None, f"{module}: give it a place in LAYERS"
    late = {other for other in own_modules(imported(ast.walk(MODULES[module]))) if layer_of(other) > own}
    assert not late, f"{module} ({LAYERS[own]}) imports {sorted(late)}, which come after it"


def test_torch_stays_where_training_is():
    strays = {
        module
        for module, tree in MODULES.items()
        if training_libraries_in(tree)
        and module.split(".")[0] not in TRAINING_LAYERS
        and module not in TORCH_HANDS
    }
    assert not strays


def test_readers_leave_the_terminal_to_the_command_line():
    readers = {module: tree for module, tree in MODULES.items() if module.startswith("data.datasets")}
    assert "data.datasets.check" in readers
    for module, tree in readers.items():
        assert not {name.split(".")[0] for name in imported(ast.walk(tree))} & {"rich", "typer"}, module


def test_what_runs_on_a_device_reaches_no_training_library():
    """Followed through imports inside functions too, but for the command line, whose training commands import
    what they need when they are called."""
    reached, todo = set(), {module for module in MODULES if module.split(".")[0] in DEVICE_LAYERS}
    while todo:
        module = todo.pop()
        reached.add(module)
        tree = MODULES[module]
        nodes = statements_at_import(tree) if module in TRAINING_COMMANDS else ast.walk(tree)
        todo |= own_modules(imported(nodes)) - reached
    assert "skeleton" in reached
    assert not {module: found for module in reached if (found := training_libraries_in(MODULES[module]))}


def test_what_runs_on_a_device_imports_on_a_machine_without_training_libraries():
    names = [
        f"handfast.{module}" for module in MODULES if module.split(".")[0] in DEVICE_LAYERS - {"__init__"}
    ]
    program = (
        "import importlib, sys\n"
        "library_names, module_names = sys.argv[1].split(), sys.argv[2:]\n"
        "sys.modules.update(dict.fromkeys(library_names))  # importing one now raises ImportError\n"
        "for name in module_names: importlib.import_module(name)\n"
    )
    command = [sys.executable, "-c", program, " ".join(TRAINING_LIBRARIES), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
