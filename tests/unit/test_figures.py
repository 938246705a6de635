"""Figures draw what the study's tables say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import study_tables as tables
from matplotlib.figure import Figure

from lmcortex.errors import InputError
from lmcortex.figures import (
    emergence,
    lateralization,
    layers,
    overview,
    quality,
    recovery,
    scaling,
    select,
    style,
    training,
)
from lmcortex.figures.style import View

STORY = View("story", "story-5", simulated=True, title="Simulated story")
SENTENCES = View("sentences", "shuffled-5", title="Recorded sentences")
SCORES = tables.scores()

MAKERS = {
    "overview": lambda view: overview.overview(SCORES, tables.contrasts(SCORES), view),
    "layers": lambda view: layers.layers(SCORES, view),
    "heatmap": lambda view: layers.heatmap(SCORES, replace(view, model="suite-l")),
    "training": lambda view: training.training(SCORES, tables.training(SCORES), view),
    "scaling": lambda view: scaling.scaling(SCORES, tables.scaling(SCORES), view),
    "lateralization": lambda view: lateralization.lateralization(
        SCORES, tables.lateralization(SCORES), view
    ),
    "emergence": lambda view: emergence.emergence(
        SCORES, tables.lateralization(SCORES), tables.emergence(SCORES), view
    ),
    "quality": lambda view: quality.quality(tables.ceiling(view.dataset), tables.quality(), view),
}


def panel(figure: Figure, title: str):
    return next(axis for axis in figure.axes if axis.get_title("left").strip() == title)


def drawn(axis, gid: str) -> list[np.ndarray]:
    """Return x and y of every line of a panel that carries a name."""
    return [line.get_xydata() for line in axis.lines if line.get_gid() == gid]


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def rows(view: View, **wanted) -> pd.DataFrame:
    """Return the headline rows of a view with these values."""
    found = select.headline(SCORES, view)
    return found[(found[list(wanted)] == pd.Series(wanted)).all(axis=1)]


@pytest.mark.parametrize("name", MAKERS)
def test_figures_of_simulated_data_say_so_and_others_do_not(name, tmp_path):
    for view in (STORY, SENTENCES):
        style.save(MAKERS[name](view), tmp_path / "figure.svg", {})
        marked = style.SIMULATED in (tmp_path / "figure.svg").read_text()
        assert marked == view.simulated


def test_a_title_stays_inside_its_figure_and_clear_of_the_mark():
    view = replace(STORY, title="The Little Prince, English, mean of 49 people")
    figure = style.frame(view, "Scores against the size of models", "nested score, r", (5, 2))
    figure.draw_without_rendering()
    title, subtitle, mark = (text.get_window_extent() for text in figure.texts)
    assert title.x1 < mark.x0 and mark.x1 < figure.bbox.x1
    assert title.y0 > subtitle.y1


@pytest.mark.parametrize(
    "name", [name for name in MAKERS if name not in {"lateralization", "emergence", "quality"}]
)
@pytest.mark.parametrize("view", [STORY, SENTENCES], ids=["story", "sentences"])
def test_every_roi_has_a_panel(name, view):
    titles = " ".join(axis.get_title("left") for axis in MAKERS[name](view).axes)
    rois = tables.STORY_ROIS if view.simulated else tables.SENTENCE_ROIS
    assert all(f"{roi} left" in titles for roi in rois)
    assert all(f"{roi} right" in titles for roi in rois) == view.simulated


def test_a_figure_is_the_same_bytes_every_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        style.save(MAKERS["overview"](SENTENCES), tmp_path / name, {"stage": "plot_overview"})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_the_group_is_the_headline_where_there_is_one():
    assert select.subject_of(SCORES[SCORES["dataset"] == "story"], STORY) == "group"
    assert select.subject_of(SCORES[SCORES["dataset"] == "sentences"], SENTENCES) == "average"


def test_a_dataset_that_the_table_lacks_is_an_error_that_names_what_there_is():
    with pytest.raises(InputError, match="sentences/shuffled-5"):
        MAKERS["overview"](View("nowhere", "shuffled-5"))


def test_overview_draws_the_nested_scores_of_the_last_checkpoints():
    axis = panel(MAKERS["overview"](SENTENCES), "IFG left")
    (points,) = drawn(axis, "scores-trained")
    wanted = rows(SENTENCES, layer=-1, roi="IFG", role="trained", step=2000)
    assert sorted(points[:, 0]) == pytest.approx(sorted(wanted["r"]))


def test_overview_averages_the_seeds_of_a_baseline():
    axis = panel(MAKERS["overview"](SENTENCES), "IFG left")
    (points,) = drawn(axis, "scores-baseline")
    seeds = rows(SENTENCES, layer=-1, roi="IFG", model="random-embedding")
    assert len(seeds) == 5
    assert points[:, 0].max() == pytest.approx(seeds["r"].mean())


def test_overview_stars_only_networks_that_beat_every_baseline():
    figure = MAKERS["overview"](STORY)
    stars = {
        axis.get_title("left").strip(): [t for t in axis.texts if t.get_gid() == "better"]
        for axis in figure.axes
    }
    assert [len(found) for title, found in stars.items() if title.endswith("left")] == [1] * 6
    assert not any(found for title, found in stars.items() if title.endswith("right"))


def test_scores_without_a_value_are_not_drawn():
    scores = SCORES.copy()
    gone = (scores["model"] == "suite-s") & (scores["roi"] == "IFG")
    scores.loc[gone, "r"] = np.nan
    figure = overview.overview(scores, tables.contrasts(SCORES), SENTENCES)
    (points,) = drawn(panel(figure, "IFG left"), "scores-trained")
    assert len(points) == 2
    assert np.isfinite(points).all()


def test_a_far_noise_ceiling_is_written_and_a_near_one_drawn():
    far = panel(MAKERS["overview"](STORY), "ATL left")
    assert any("ceiling 0.46" in text.get_text() for text in far.texts)
    assert not drawn(far, "ceiling")
    scores = SCORES.assign(ceiling=0.2)
    near = panel(overview.overview(scores, tables.contrasts(SCORES), STORY), "ATL left")
    assert drawn(near, "ceiling")[0][0, 0] == 0.2
    assert near.get_xlim()[1] > 0.2


def test_layers_draws_each_layer_at_its_depth():
    curves = drawn(panel(MAKERS["layers"](SENTENCES), "netw left"), "layers-trained")
    wanted = rows(SENTENCES, roi="netw", model="suite-l", step=2000)
    wanted = wanted[wanted["layer"] >= 0].sort_values("depth")[["depth", "r"]].to_numpy(float)
    assert any(len(c) == len(wanted) and np.allclose(c, wanted) for c in curves)


def test_heatmap_holds_every_layer_of_every_step():
    axis = panel(MAKERS["heatmap"](SENTENCES), "IFG left")
    wanted = rows(SENTENCES, roi="IFG", model="suite-l", role="trained")
    wanted = wanted[wanted["layer"] >= 0].sort_values(["layer", "step"])["r"]
    cells = axis.collections[0].get_array()
    assert cells.shape == (7, len(tables.LARGE_STEPS))
    assert np.allclose(np.ravel(cells), wanted)


def test_heatmap_needs_three_steps():
    scores = SCORES[SCORES["step"] != 64]
    with pytest.raises(InputError, match="suite-m has 2 training steps"):
        layers.heatmap(scores, replace(SENTENCES, model="suite-m"))


def test_training_draws_scores_from_step_zero_and_marks_the_onset():
    axis = panel(MAKERS["training"](SENTENCES), "IFG left")
    curves = drawn(axis, "trajectory")
    wanted = rows(SENTENCES, layer=-1, roi="IFG", model="suite-l", role="trained")
    wanted = wanted.sort_values("step")[["step", "r"]].to_numpy(float)
    assert wanted[0, 0] == 0
    assert any(len(c) == len(wanted) and np.allclose(c, wanted) for c in curves)
    assert axis.get_xlim()[0] < 0
    assert {mark[0, 0] for mark in drawn(axis, "onset50")} == {150.0}


def test_training_says_when_no_model_has_checkpoints():
    scores = SCORES[SCORES["step"].isna() | (SCORES["step"] == 2000)]
    figure = training.training(scores, tables.training(SCORES), SENTENCES)
    assert "more than one checkpoint" in texts(figure)


def test_scaling_draws_the_law_over_the_sizes_it_was_fitted_to():
    laws = tables.scaling(SCORES)
    axis = panel(MAKERS["scaling"](STORY), "ATL left")
    (line,) = drawn(axis, "law")
    wanted = select.panel(select.laws(laws, SCORES, STORY), "ATL", "L").iloc[0]
    assert line[:, 0] == pytest.approx([270_000, 4_200_000])
    assert line[:, 1] == pytest.approx(wanted["intercept"] + wanted["slope"] * np.log10(line[:, 0]))


def test_scaling_draws_each_model_at_its_size():
    axis = panel(MAKERS["scaling"](SENTENCES), "IFG left")
    points = np.concatenate(drawn(axis, "sizes"))
    wanted = rows(SENTENCES, layer=-1, roi="IFG", role="trained", step=2000)
    for size, r in wanted[["n_params", "r"]].itertuples(index=False):
        assert np.isclose(points, [size, r]).all(axis=1).any()


def test_lateralization_draws_differences_and_single_subjects():
    figure = MAKERS["lateralization"](STORY)
    column = [axis.get_title("left") for axis in figure.axes[:6]].index("IFG")
    axis = figure.axes[6 + column]
    found = np.concatenate(drawn(axis, "differences"))[:, 0]
    wanted = tables.lateralization(SCORES)
    wanted = wanted[(wanted["subject"] == "group") & (wanted["roi"] == "IFG")]
    last = wanted[(wanted["model"] == "suite-l") & (wanted["checkpoint"] == "step2000")]
    assert np.isclose(found, last["difference"].item()).any()
    n_lines = 3 + 3 + len(tables.PLANTED)
    assert len(drawn(axis, "subjects")[0]) == 6 * n_lines


def test_lateralization_says_when_no_roi_has_both_sides():
    assert "both sides" in texts(MAKERS["lateralization"](SENTENCES))


def test_emergence_draws_differences_over_steps_and_gains_of_the_last():
    figure = MAKERS["emergence"](STORY)
    column = [axis.get_title("left") for axis in figure.axes[:6]].index("IFG")
    (line,) = (x for x in drawn(figure.axes[column], "emergence") if len(x) == 7)
    sides = tables.lateralization(SCORES).query("subject == 'group' and roi == 'IFG'")
    wanted = sides[(sides["model"] == "suite-l") & sides["step"].notna()].sort_values("step")
    assert line == pytest.approx(wanted[["step", "difference"]].to_numpy(float))
    gains = tables.emergence(SCORES).query("subject == 'group' and roi == 'IFG' and final")
    found = np.sort(np.concatenate(drawn(figure.axes[6 + column], "gains"))[:, 0])
    assert found == pytest.approx(np.sort(gains["gain"].to_numpy(float)))


def test_emergence_says_when_no_roi_has_both_sides():
    assert "both sides" in texts(MAKERS["emergence"](SENTENCES))


def test_quality_draws_every_subject_and_the_average():
    axis = MAKERS["quality"](STORY).axes[0]
    assert sum(len(points) for points in drawn(axis, "subjects")) == 6 * 12
    average = np.concatenate(drawn(axis, "average"))[:, 1]
    wanted = tables.ceiling("story").query("subject == 'average'")["ceiling"]
    assert average == pytest.approx(wanted.to_numpy())


def test_quality_tells_the_range_over_subjects():
    facts = tables.quality()
    lines = dict(quality.fact_lines(facts[facts["dataset"] == "story"]))
    assert lines["words without onset"] == "3"
    assert lines["dropped targets"] == "1 to 6 (6 subjects or runs)"


def test_a_figure_says_how_many_items_and_people_it_shows():
    view = style.view_of({"dataset": "story", "fit": "story-5"}, tables.quality())
    assert view.sample == "300 items"
    assert "mean over 6 subjects, 300 items" in texts(MAKERS["overview"](view))


def test_recovery_names_what_lies_outside_its_interval():
    figure = recovery.recovery(tables.truth_recovery(), STORY)
    assert "23 of 24" in texts(figure)
    assert "outside: onset50 IFG left" in texts(figure)
    axis = panel(figure, "onset50")
    crosses = [line for line in axis.lines if line.get_marker() == "X"]
    assert len(crosses) == 1
    assert drawn(axis, "planted")[3][0, 0] == pytest.approx(256 * 0.76)


def test_recovery_says_where_there_is_no_interval():
    table = tables.truth_recovery()
    assert "without one" not in texts(recovery.recovery(table, STORY))
    table.loc[0, ["ci_low", "ci_high"]] = float("nan")
    assert "those without one, near the planted value" in texts(recovery.recovery(table, STORY))


def test_an_roi_with_both_sides_has_one_panel_and_one_with_a_single_side_its_own():
    places = [("IFG", "L"), ("ATL", "L"), ("ATL", "R"), ("ATL", "both"), ("all", "both")]
    table = pd.DataFrame(places, columns=["roi", "hemisphere"])
    assert select.panels(table) == [("all", "both"), ("IFG", "L"), ("ATL", "both")]


def test_tables_without_rows_are_drawn_as_nothing():
    def none(table: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame([], columns=table.columns)

    figure = overview.overview(SCORES, none(tables.contrasts(SCORES)), SENTENCES)
    assert not any(text.get_gid() == "better" for axis in figure.axes for text in axis.texts)
    figure = scaling.scaling(SCORES, none(tables.scaling(SCORES)), SENTENCES)
    assert not drawn(panel(figure, "IFG left"), "law")
    figure = training.training(SCORES, none(tables.training(SCORES)), SENTENCES)
    assert not drawn(panel(figure, "IFG left"), "onset50")
    sides = none(tables.lateralization(SCORES))
    assert "both sides" in texts(lateralization.lateralization(SCORES, sides, SENTENCES))
    ceilings = none(tables.ceiling("sentences"))
    assert "no noise ceiling" in texts(quality.quality(ceilings, tables.quality(), SENTENCES))
    assert "Nothing was planted" in texts(
        recovery.recovery(none(tables.truth_recovery()), SENTENCES)
    )
