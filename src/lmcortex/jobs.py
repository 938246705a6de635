"""The jobs of a study, as Snakemake itself plans them: the one place that asks it, from outside."""

import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from lmcortex.config import read_yaml
from lmcortex.errors import InputError
from lmcortex.plan import Plan, load_plan


class Job(NamedTuple):
    """A job, its first output, and what it asks for: MB of memory, minutes, threads, GPUs."""

    rule: str
    wildcards: Mapping[str, str]
    mem_mb: int
    minutes: int
    threads: int
    gpus: int
    output: str

    @property
    def name(self) -> str:
        return " ".join((self.rule, *self.wildcards.values()))


class _Listener(logging.Handler):
    """Keeps the jobs that Snakemake announces in its log, each as an event for logger plugins."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        from snakemake_interface_logger_plugins.common import LogEvent

        said = record.__dict__
        # A rule without output is a target: nothing is run for it.
        if said.get("event") == LogEvent.JOB_INFO and said["output"]:
            resources = said["resources"]
            self.jobs.append(
                Job(
                    rule=said["rule_name"],
                    wildcards=dict(said["wildcards"] or {}),
                    mem_mb=resources.get("mem_mb"),
                    minutes=resources.get("runtime"),
                    threads=said["threads"],
                    gpus=resources.get("gpu", 0),
                    output=said["output"][0],
                )
            )


def list_jobs(options: Sequence[str]) -> tuple[Plan, list[Job]]:
    """Ask Snakemake which jobs a command line would run; none is run.

    Parameters
    ----------
    options : of `snakemake`, such as ``--config study=alice`` or ``--profile slurm``; under
        ``--forceall`` all jobs of the study are listed, those that are done too.

    Returns
    -------
    The plan of the study, and its jobs.

    Raises
    ------
    InputError : Snakemake refused, with what it said.
    """
    from snakemake import cli

    # So many cores, that a job's threads are those that it asks for and not those of this machine.
    command = ["--dry-run", "--quiet", "rules", "host", "--cores", "1000", *options]
    listener, said = _Listener(), io.StringIO()
    logger = logging.getLogger("snakemake")
    logger.addHandler(listener)
    try:
        with redirect_stdout(said), redirect_stderr(said):
            settings = _settings(command)
            cli.main(command)
    except SystemExit as ended:
        if ended.code:
            raise InputError(said.getvalue().strip()) from None
    finally:
        logger.removeHandler(listener)
    return load_plan(settings), listener.jobs


def _settings(command: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a command line: config/config.yaml, its profile's and its own."""
    from snakemake import cli
    from snakemake.settings.types import ConfigSettings

    _, args = cli.parse_args(command)
    given = ConfigSettings(config=cli.parse_config(args.config), configfiles=args.configfile or [])
    return {**read_yaml(Path("config/config.yaml")), **given.overwrite_config}
