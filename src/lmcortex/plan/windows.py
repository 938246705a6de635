"""What `analyses: [windows]` adds."""

from pathlib import Path

from lmcortex import config, paths, registry
from lmcortex.errors import InputError
from lmcortex.plan.asked import Asked, Run

WINDOW_TABLES = ("windows", "yoking", "windows_brain")
TEXT_FILES = (".txt", ".csv", ".tsv")


class Windows(Asked):
    """Integration windows, by swaps of words in a text."""

    def window_runs(self) -> list[Run]:
        """The networks whose integration windows are measured."""
        return self.runs if "windows" in self.study.analyses else []

    def window_models(self) -> list[str]:
        return list(dict.fromkeys(run.model for run in self.window_runs()))

    def window_files(self, pattern: str = paths.WINDOWS) -> list[str]:
        return [
            pattern.format(text=text, **run._asdict())
            for text in self.texts
            for run in self.window_runs()
        ]

    def swap_files(self) -> list[str]:
        return [
            paths.SWAPS.format(text=text, model=model)
            for text in self.texts
            for model in self.window_models()
        ]

    def swap_sources(self, text: str, model: str) -> dict[str, Run]:
        """The networks that choose a model's swaps: its last checkpoint, and a masked model.

        The last of all, not of the study's: a checkpoint added to a study changes no swap.
        """
        sources = {"checkpoint": Run(model, self.model(model).final)}
        if masked := self.texts[text].masked_model:
            sources["masked"] = Run(masked, self.model(masked).final)
        return sources

    def swap_runs(self) -> list[Run]:
        """The networks that choose swaps, whether the study asks for them or not."""
        runs = [
            run
            for text in self.texts
            for model in self.window_models()
            for run in self.swap_sources(text, model).values()
        ]
        return list(dict.fromkeys(runs))

    def waiting_models(self, run: Run) -> list[str]:
        """The models whose swaps a network chooses: before, no window of theirs is measured."""
        return [
            model
            for model in self.window_models()
            if any(run in self.swap_sources(text, model).values() for text in self.texts)
        ]

    def shown_windows(self, model: str) -> list[str]:
        """Name the checkpoints of a model whose units are drawn.

        The last comes first; then two, evenly spaced among those before it, as training goes; then
        the untrained twin.
        """
        known = [run.checkpoint for run in self.window_runs() if run.model == model]
        steps = sorted((n for n in known if registry.STEP.match(n)), key=lambda n: int(n[4:]))
        between = [steps[len(steps) // 3], steps[2 * len(steps) // 3]] if len(steps) > 3 else []
        return [name for name in (self.final(model), *between, "untrained-seed1") if name in known]

    def text_files(self, text: str) -> list[str]:
        """The files that a text is read from; none where its source is `pydoc`."""
        where = f"config/windows.yaml: {text}.source"
        source = Path(config.expand(self.texts[text].source, where))
        files = sorted(source.glob("*.txt")) if source.is_dir() else [source]
        if str(source) == "pydoc":
            return []
        if not files or not files[0].is_file():
            raise InputError(f"{where}: {source}: no such file, or no .txt file in this folder")
        if files[0].suffix not in TEXT_FILES:
            raise InputError(f"{where}: {source}: expected a file in {', '.join(TEXT_FILES)}")
        return [str(file) for file in files]
