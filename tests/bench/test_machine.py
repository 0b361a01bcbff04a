import json
import platform
from datetime import date
from importlib.metadata import version

import pytest

from handfast.bench.machine import compiler_name, machine_facts


def test_facts_name_processor_and_versions_of_what_is_here():
    facts = machine_facts(["numpy", "no-such-package"])
    assert facts["processor"] and date.fromisoformat(facts["date"])
    assert facts["versions"] == {"python": platform.python_version(), "numpy": version("numpy")}
    assert json.loads(json.dumps(facts)) == facts


def test_the_compiler_says_its_version(compiler):
    assert any(character.isdigit() for character in compiler_name())


@pytest.mark.usefixtures("no_compiler")
def test_no_compiler_has_no_name():
    assert compiler_name() is None
