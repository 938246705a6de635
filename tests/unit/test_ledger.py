"""The ledger of downloaded weights: what it counts, whom it lets wait, what it removes."""

import os
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants

from lmcortex.errors import InputError
from lmcortex.models import ledger

REPO = "lab/tiny"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and a workflow that runs beside it."""
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(ledger, "POLL", 0.01)
    (tmp_path / "workflow").mkdir()
    monkeypatch.chdir(tmp_path / "workflow")
    return tmp_path / "hf" / "hub" / "models--lab--tiny"


def enter(checkpoint: str, digest: str, size: int = 100, budget: float = 1e9) -> ledger.Entry:
    """Enter weights of one file, as a download about to start does."""
    files = {"model.safetensors": (digest, size)}
    entry = ledger.download("tiny", checkpoint, REPO, f"commit-of-{checkpoint}", files)
    ledger.reserve(entry, budget, patience=0)
    return entry


def put(cache: Path, checkpoint: str, digest: str, size: int = 100) -> Path:
    """Put weights into the cache as the hub's client does; return their link."""
    blob = cache / "blobs" / digest
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(b"x" * size)
    link = cache / "snapshots" / f"commit-of-{checkpoint}" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("../..") / "blobs" / digest)
    return link


def held() -> int:
    return sum(ledger.sizes_of(ledger.entries()).values())


def test_weights_count_from_before_their_download() -> None:
    enter("step1", "a", 60)
    assert held() == 60


def test_weights_that_two_checkpoints_share_count_once() -> None:
    enter("step0", "same", 60, budget=100)
    enter("step1", "same", 60, budget=100)
    assert held() == 60


def test_weights_enter_as_soon_as_others_have_left() -> None:
    enter("step1", "a", 60)
    entry = ledger.entry_of("tiny", "step2", {Path("b"): 60})
    waiting = threading.Thread(target=ledger.reserve, args=(entry, 100, 3600), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive() and held() == 60
    ledger.release("tiny", "step1")
    waiting.join(5)
    assert not waiting.is_alive()
    assert [found.name for found in ledger.entries()] == ["tiny step2"]


def test_many_at_once_never_hold_more_than_the_budget() -> None:
    entered = []
    start = threading.Barrier(8)

    def reserve(number: int) -> None:
        entry = ledger.entry_of("tiny", f"step{number}", {Path(f"blob{number}"): 30})
        start.wait()
        try:
            ledger.reserve(entry, 100, patience=0)
        except ledger.NoRoom:
            return
        entered.append(number)

    threads = [threading.Thread(target=reserve, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 3 and held() == 90


def test_who_waited_in_vain_is_told_who_holds_what_and_what_to_do(capsys) -> None:
    enter("step1", "a", 60)
    entry = ledger.entry_of("tiny", "step2", {Path("b"): 50})
    with pytest.raises(ledger.NoRoom) as caught:
        ledger.reserve(entry, 100, patience=0.05)
    message = str(caught.value)
    assert message.startswith("tiny step2: 5e-08 GB of weights found no room within 1.38889e-05 h")
    assert "6e-08 GB of 1e-07 GB (weights_budget_gb) are held by tiny step1" in message
    assert "raise the budget" in message and "\n" not in message
    waited = capsys.readouterr().err.splitlines()
    assert len(waited) == 1 and "wait for room" in waited[0]


def test_weights_larger_than_the_budget_are_refused_at_once() -> None:
    entry = ledger.entry_of("tiny", "step1", {Path("a"): 200})
    with pytest.raises(
        InputError, match=r"2e-07 GB of weights are more than 1e-07 GB \(weights.*raise"
    ):
        ledger.reserve(entry, 100, patience=0.5)
    assert ledger.entries() == []


def test_what_is_there_already_waits_for_nothing(cache: Path) -> None:
    enter("step1", "a", 60)
    put(cache, "step1", "a", 60)
    enter("step1", "a", 60, budget=10)
    assert held() == 60


def test_released_weights_leave_the_cache_and_what_is_beside_them_stays(cache: Path) -> None:
    enter("step1", "a", 60)
    link = put(cache, "step1", "a", 60)
    config = link.with_name("config.json")
    config.write_text("{}")
    assert ledger.release("tiny", "step1") == {str(cache / "blobs" / "a"): 60}
    assert not link.is_symlink() and not (cache / "blobs" / "a").exists()
    assert config.exists() and ledger.entries() == []


def test_a_shared_blob_leaves_with_the_last_that_needs_it(cache: Path) -> None:
    enter("step0", "same")
    first = put(cache, "step0", "same")
    enter("step1", "same")
    second = put(cache, "step1", "same")
    assert ledger.release("tiny", "step0") == {}
    assert not first.is_symlink() and second.exists()
    assert list(ledger.release("tiny", "step1").values()) == [100]
    assert not second.is_symlink() and not list((cache / "blobs").iterdir())


def test_a_shared_blob_stays_for_a_download_that_has_no_link_yet(cache: Path) -> None:
    enter("step0", "same")
    put(cache, "step0", "same")
    enter("step1", "same")
    assert ledger.release("tiny", "step0") == {}
    assert (cache / "blobs" / "same").exists()


def test_files_that_were_there_before_are_neither_counted_nor_removed(cache: Path) -> None:
    link = put(cache, "step1", "a")
    assert enter("step1", "a", budget=10).sizes == {}
    assert ledger.release("tiny", "step1") == {}
    assert link.exists() and held() == 0


def test_a_blob_that_somebody_else_links_to_later_stays(cache: Path) -> None:
    enter("step1", "a")
    put(cache, "step1", "a")
    theirs = put(cache, "main", "a")
    assert ledger.release("tiny", "step1") == {}
    assert theirs.exists()


def test_two_workflows_may_hold_the_same_weights(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter("step1", "a")
    link = put(cache, "step1", "a")
    monkeypatch.chdir(tmp_path)
    enter("step1", "a", budget=100)
    assert held() == 100
    assert f"(for {tmp_path / 'workflow'})" in ledger.holders(ledger.entries())
    assert ledger.release("tiny", "step1") == {}
    assert link.exists()
    monkeypatch.chdir(tmp_path / "workflow")
    assert list(ledger.release("tiny", "step1").values()) == [100]


def test_a_killed_download_counts_and_starts_again_without_its_remains(cache: Path) -> None:
    enter("step1", "a", 60)
    dead, alive = (cache / "blobs" / f"a.{part}.incomplete" for part in ("0a1b", "2c3d"))
    dead.parent.mkdir(parents=True)
    for path in (dead, alive):
        path.write_bytes(b"x" * 50)
    os.utime(dead, (0, 0))
    with pytest.raises(ledger.NoRoom):
        enter("step2", "b", 60, budget=100)
    enter("step1", "a", 60, budget=100)
    assert not dead.exists() and alive.exists() and held() == 60
    ledger.release("tiny", "step1")
    assert not alive.exists()


def test_weights_of_a_revision_that_moved_on_leave_too(cache: Path) -> None:
    enter("main", "old")
    put(cache, "main", "old")
    newer = ledger.download("tiny", "main", REPO, "later", {"model.safetensors": ("new", 100)})
    ledger.reserve(newer, 1e9, patience=0)
    assert len(ledger.release("tiny", "main")) == 2
    assert not (cache / "blobs" / "old").exists()
