import numpy as np
import pandas as pd
import pytest

from lmcortex.errors import InputError
from lmcortex.folds import make_folds


def story(n: int, runs: int = 1, tr: float = 2.0) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "item": [f"run-{run}_tr-{i:04d}" for i in range(n)],
                "run": str(run),
                "time": 20 + tr * np.arange(n),
            }
        )
        for run in range(1, runs + 1)
    ]
    return pd.concat(parts, ignore_index=True)


SHUFFLED = {"scheme": "shuffled", "n": 5, "seed": 0}


def test_shuffled_folds_test_each_item_once_and_train_on_all_others():
    folds = make_folds(SHUFFLED, story(52))
    assert sorted(np.bincount(folds.test)) == [10, 10, 10, 11, 11]
    for fold in range(folds.n):
        assert np.array_equal(folds.train[fold], folds.test != fold)


def test_shuffled_folds_keep_the_rows_of_an_item_together():
    items = story(40)
    items["item"] = np.repeat([f"i{k}" for k in range(20)], 2)
    folds = make_folds(SHUFFLED, items)
    assert (folds.test[::2] == folds.test[1::2]).all()


def test_the_stored_seed_decides_the_shuffle():
    items = story(50)
    again = make_folds(SHUFFLED, items).test
    other = make_folds({**SHUFFLED, "seed": 1}, items).test
    assert np.array_equal(make_folds(SHUFFLED, items).test, again)
    assert not np.array_equal(other, again)


def test_blocks_leave_the_gap_out_on_both_sides_of_the_test_set():
    items = story(100)
    folds = make_folds({"scheme": "blocks", "n": 5, "gap": 16}, items)
    train, test = folds.outer(2)
    assert test.tolist() == list(range(40, 60))
    # 16 s at 2 s per sample: the 8 samples before 40 and the 8 after 59 are left out.
    assert train.tolist() == [*range(32), *range(68, 100)]


def test_inner_folds_keep_the_gap_to_validation_and_to_test_samples():
    items = story(100)
    folds = make_folds({"scheme": "blocks", "n": 5, "gap": 16}, items)
    train, test = folds.outer(2)
    times = items["time"].to_numpy()
    for inner_train, validation in folds.inner(2):
        for held_out in (train[validation], test):
            distance = np.abs(times[train[inner_train]][:, None] - times[held_out])
            assert distance.min() > 16


def test_the_gap_is_not_shortened_by_rounding_of_sample_times():
    items = story(60, tr=0.1)
    folds = make_folds({"scheme": "blocks", "n": 3, "gap": 0.3}, items)
    assert folds.outer(1)[0].tolist() == [*range(17), *range(43, 60)]


def test_the_gap_ends_where_another_run_begins():
    folds = make_folds({"scheme": "blocks", "n": 4, "gap": 16}, story(40, runs=2))
    # The second block ends with run 1, so that run 2 loses nothing.
    assert folds.outer(1)[0].tolist() == [*range(12), *range(40, 80)]


def test_a_gap_for_sentences_counts_items():
    items = pd.DataFrame({"item": list("abcdefghijkl"), "run": "1", "time": np.arange(12.0)})
    folds = make_folds({"scheme": "blocks", "n": 3, "gap": 1}, items)
    assert folds.outer(1)[0].tolist() == [0, 1, 2, 9, 10, 11]


def test_runs_leave_one_run_out():
    folds = make_folds({"scheme": "runs"}, story(10, runs=3))
    assert folds.outer(1)[1].tolist() == list(range(10, 20))
    assert [len(train) for train, _ in folds.inner(1)] == [10, 10]


@pytest.mark.parametrize(
    ("spec", "items"),
    [
        ({"scheme": "runs"}, story(10, runs=2)),
        ({"scheme": "blocks", "n": 5}, story(8)),
        ({"scheme": "blocks", "n": 3, "gap": 20}, story(30)),
        ({"scheme": "interleaved", "n": 3}, story(30)),
    ],
    ids=["two folds", "one test sample", "no inner training", "unknown scheme"],
)
def test_folds_that_cannot_be_fitted_are_refused(spec, items):
    with pytest.raises(InputError, match="folds"):
        make_folds(spec, items)
