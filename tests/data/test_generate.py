import errno
from dataclasses import replace
from pathlib import Path

import pytest

from handfast.data.generate import in_processes, make, make_shard, on_ray, plan
from handfast.errors import HandfastError


def files_below(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("benchmark", ["tiny_tof", "tiny_depth"])
def test_two_workers_make_the_same_bytes_as_one(benchmark, request, synthesise_into, tmp_path):
    benchmark = request.getfixturevalue(benchmark)
    made = [synthesise_into(tmp_path / str(n), benchmark, in_processes(n)) for n in (1, 2)]
    assert sorted(made[0]) == sorted(made[1]) and len(made[0]) == 7
    assert files_below(tmp_path / "1") == files_below(tmp_path / "2")


def test_another_seed_makes_other_bytes(tiny_tof, tmp_path):
    _, jobs = plan(tiny_tof, "small", tmp_path, "1.2.3")
    other = replace(jobs[0], benchmark=replace(tiny_tof, seed=tiny_tof.seed + 1))
    assert make_shard(jobs[0]) == make_shard(jobs[0]) != make_shard(other)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    tiny_tof, tof_folder, synthesise_into, tmp_path
):
    card, jobs = plan(tiny_tof, "small", tmp_path, "1.2.3")
    running = make(tmp_path, card, jobs, in_processes(1))
    first = [next(running) for _ in range(3)]
    running.close()
    # Killed in the middle of a write, and between a shard and its entry in the card.
    partial = tmp_path / "validation" / ".shard-00000.tar.part"
    partial.parent.mkdir(exist_ok=True)
    partial.write_bytes(b"half a sh")
    (tmp_path / "validation" / "shard-00000.tar").write_bytes(b"not in the card")

    again = synthesise_into(tmp_path, tiny_tof)
    assert len(first) + len(again) == 7 and "validation/shard-00000.tar" in again
    assert files_below(tmp_path) == files_below(tof_folder)


def test_a_finished_set_is_checked_and_left_alone(tiny_tof, tof_folder):
    before = files_below(tof_folder)
    _, jobs = plan(tiny_tof, "small", tof_folder, "1.2.3")
    assert jobs == [] and files_below(tof_folder) == before


def test_a_deleted_shard_is_made_again(tiny_tof, tof_folder, tof_copy, synthesise_into):
    (tof_copy / "test" / "shard-00000.tar").unlink()
    assert synthesise_into(tof_copy, tiny_tof) == ["test/shard-00000.tar"]
    assert files_below(tof_copy) == files_below(tof_folder)


def test_an_edited_shard_stops_the_next_run(tiny_tof, tof_copy):
    path = tof_copy / "test" / "shard-00000.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(HandfastError, match=r"test/shard-00000\.tar"):
        plan(tiny_tof, "small", tof_copy, "1.2.3")


@pytest.mark.parametrize("change", [{"seed": 5}, {"shard_clips": 2}, {"name": "bench-depth"}])
def test_a_folder_with_something_else_is_left_alone(tiny_tof, tof_folder, change):
    with pytest.raises(HandfastError, match=r"holds bench-tof small.*another --out"):
        plan(replace(tiny_tof, **change), "small", tof_folder, "1.2.3")
    with pytest.raises(HandfastError, match=r"of handfast 1\.2\.3, not .* of 2\.0"):
        plan(tiny_tof, "small", tof_folder, "2.0")


def test_an_unknown_size_lists_the_known_ones(tiny_tof, tmp_path):
    with pytest.raises(HandfastError, match="small, full"):
        plan(tiny_tof, "huge", tmp_path / "new", "1.2.3")
    assert not (tmp_path / "new").exists()


def test_a_full_disk_loses_no_finished_shard(tiny_tof, tof_folder, synthesise_into, tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def until_full(path, content):
        if path.parent.name == "test":
            write_bytes(path, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", until_full)
        with pytest.raises(HandfastError, match=r"test/shard-00000\.tar: cannot be written \(No space left"):
            synthesise_into(tmp_path, tiny_tof)
    assert len(synthesise_into(tmp_path, tiny_tof)) == 2
    assert files_below(tmp_path) == files_below(tof_folder)


def test_a_ray_cluster_makes_the_same_bytes(tiny_tof, tof_folder, synthesise_into, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'handfast[cluster]'")
    synthesise_into(tmp_path, tiny_tof, on_ray("local"))
    assert files_below(tmp_path) == files_below(tof_folder)


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(HandfastError, match=r"handfast\[cluster\]"):
        on_ray("auto")
