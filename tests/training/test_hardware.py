import json
import os

import torch

from handfast.training.hardware import hardware_facts, is_first_process


def test_processes_that_help_say_so(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()


def test_the_facts_can_stand_in_a_result_file():
    facts = hardware_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cpu"] and (facts["cores"], facts["threads"]) == (os.cpu_count(), torch.get_num_threads())
