"""Word times to brain samples."""

import time

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level.hemodynamic_models import _gamma_difference_hrf

from lmcortex.encoding.design import sample_operators
from lmcortex.errors import InputError
from lmcortex.hrf import glover_hrf, hrf_operator, words_to_grid


def nilearn_regressor(onsets, durations, amplitudes, frame_times, hrf="glover"):
    from nilearn.glm.first_level import compute_regressor

    return compute_regressor((onsets, durations, amplitudes), hrf, frame_times)[0][:, 0]


def random_words(rng, n, length):
    onsets = np.sort(rng.uniform(0, length, n))
    return onsets, rng.uniform(0, 0.8, n), rng.normal(size=n)


@pytest.mark.parametrize(("start", "tr", "n"), [(20.0, 2.0, 60), (0.75, 1.5, 81), (0.0, 0.72, 120)])
def test_the_operator_equals_nilearn_on_random_amplitudes(start, tr, n):
    frame_times = start + tr * np.arange(n)
    rng = np.random.default_rng(0)
    onsets, durations, amplitudes = random_words(rng, 150, frame_times[-1] + 20)
    ours = hrf_operator(onsets, durations, frame_times) @ amplitudes
    theirs = nilearn_regressor(onsets, durations, amplitudes, frame_times)
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())


def test_the_operator_of_a_fit_is_nilearns_on_the_run_as_it_was_recorded():
    """With the undershoot of nilearn 0.10, and trimmed afterwards: as in the published protocol."""

    def before_version_11(t_r, oversampling):
        shape = {"delay": 6, "undershoot": 12.0, "dispersion": 0.9, "u_dispersion": 0.9}
        return _gamma_difference_hrf(t_r, oversampling, 32.0, 0.0, **shape, ratio=0.35)

    recorded = 1.0 + 2.0 * np.arange(120)
    onsets, durations, amplitudes = random_words(np.random.default_rng(2), 600, 230)
    items = pd.DataFrame({"run": "1", "time": recorded[10:-7]})
    words = pd.DataFrame({"run": "1", "onset": onsets, "duration": durations})
    spec = {"kind": "story", "response": {"undershoot": 0.35}, "trim": [10, 7]}
    [to_samples] = sample_operators("words", items, words, spec)
    theirs = nilearn_regressor(onsets, durations, amplitudes, recorded, before_version_11)[10:-7]
    found = to_samples(amplitudes[:, None])[:, 0]
    np.testing.assert_allclose(found, theirs, atol=1e-10 * np.abs(theirs).max())


def test_a_word_without_duration_lasts_one_grid_point_as_in_nilearn():
    frame_times = 2.0 * np.arange(40)
    onsets = np.array([3.1, 17.0])
    ours = hrf_operator(onsets, np.zeros(2), frame_times).sum(axis=1)
    theirs = nilearn_regressor(onsets, np.zeros(2), np.ones(2), frame_times)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_speech_without_end_gives_a_response_of_one():
    frame_times = 2.0 * np.arange(60)
    response = hrf_operator(np.array([0.0]), np.array([200.0]), frame_times)[:, 0]
    np.testing.assert_allclose(response[20:], 1.0, atol=1e-6)


def test_the_hrf_peaks_five_seconds_after_the_word():
    hrf = glover_hrf(2.0, 50)
    assert 4.5 < np.argmax(hrf) * 2.0 / 50 < 5.5


def test_samples_before_a_word_do_not_respond_to_it():
    frame_times = 2.0 * np.arange(30)
    response = hrf_operator(np.array([20.0]), np.array([0.5]), frame_times)[:, 0]
    assert not response[frame_times <= 20].any() and response[frame_times > 20].any()


def test_trimming_samples_leaves_the_others_response_as_it_was():
    # With 30 s trimmed, nilearn would lump the words before its grid into one burst at its start.
    frame_times = 2.0 * np.arange(80)
    onsets, durations, _ = random_words(np.random.default_rng(1), 200, 150)
    # The two fine grids differ by part of a step, so the steps are made small.
    whole = hrf_operator(onsets, durations, frame_times, oversampling=1000)
    trimmed = hrf_operator(onsets, durations, frame_times[15:], oversampling=1000)
    np.testing.assert_allclose(trimmed, whole[15:], atol=0.005 * whole.max())


def test_a_word_without_onset_has_no_response():
    operator = hrf_operator(np.array([np.nan, 4.0]), np.array([np.nan, 0.3]), 2.0 * np.arange(20))
    assert not operator[:, 0].any() and operator[:, 1].any()


def test_a_word_that_ends_before_it_starts_is_refused():
    with pytest.raises(InputError, match="durations"):
        hrf_operator(np.array([4.0]), np.array([-0.3]), 2.0 * np.arange(20))


def test_a_story_of_2100_words_and_362_samples_takes_under_two_seconds():
    frame_times = 20 + 2.0 * np.arange(362)
    onsets, durations, _ = random_words(np.random.default_rng(2), 2100, 740)
    begin = time.perf_counter()
    operator = hrf_operator(onsets, durations, frame_times)
    assert time.perf_counter() - begin < 2
    assert operator.shape == (362, 2100)


def test_words_are_summed_into_the_nearest_sample():
    features = np.array([[1.0], [10.0], [100.0], [1000.0]])
    times = np.array([0.9, 1.1, 2.9, np.nan])
    grid = words_to_grid(features, times, np.array([0.0, 2.0, 4.0]))
    np.testing.assert_array_equal(grid[:, 0], [1, 110, 0])


def test_shifted_words_keep_what_was_heard_before_the_first_sample():
    grid = words_to_grid(np.ones((1, 1)), np.array([2.0]) + 4.0, 6.0 + 2.0 * np.arange(3))
    np.testing.assert_array_equal(grid[:, 0], [1, 0, 0])


def test_the_clock_of_alice_is_that_of_the_authors_word_rate(data_dir):
    from lmcortex.textgrid import read_textgrid

    words = read_textgrid(data_dir / "alice/words.TextGrid", "word", ["sp"])
    ends, brief = (words["onset"] + words["duration"]).to_numpy(), np.zeros(len(words))
    authors = np.loadtxt(data_dir / "alice/nuisance/s18-rate.txt")
    frame_times = 20 + 2.0 * np.arange(362)

    def agreement(shift):
        """Correlate with words as brief events at their ends, by SPM's HRF as the authors did."""
        ours = nilearn_regressor(ends, brief, np.ones(len(ends)), frame_times + shift, "spm")
        return np.corrcoef(ours, authors)[0, 1]

    assert agreement(0) > 0.985
    assert agreement(2) < 0.85 and agreement(-2) < 0.85

    glover = hrf_operator(ends, brief, frame_times).sum(axis=1)
    late = hrf_operator(ends, brief, frame_times + 2).sum(axis=1)
    assert np.corrcoef(glover, authors)[0, 1] > 0.9
    assert np.corrcoef(late, authors)[0, 1] < 0.7
