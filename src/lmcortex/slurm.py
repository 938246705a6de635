"""What a Slurm cluster says: of itself, for profiles/slurm/site.yaml, and of a study's jobs."""

import re
import shlex
import subprocess
from typing import Any

import yaml

from lmcortex.errors import InputError

PREFIX = "lmcortex_"  # of a job's name: slurm-jobname-prefix in profiles/slurm/config.yaml


def default_account(user: str) -> str:
    """Ask for the account that a user's jobs are charged to; empty where there is none."""
    return _ask(f"sacctmgr --noheader --parsable2 show user {user} format=defaultaccount").strip()


def partitions(account: str) -> dict[str, dict[str, Any]]:
    """Ask for the partitions that an account may use, and the most that one job may have there.

    Raises
    ------
    InputError : this machine belongs to no Slurm cluster, or Slurm does not answer.
    """
    limits = _ask("scontrol --oneliner show partition")
    nodes = _ask("sinfo --exact --noheader --format '%R|%c|%m|%G'")
    return read_partitions(limits, nodes, account)


def read_partitions(limits: str, nodes: str, account: str) -> dict[str, dict[str, Any]]:
    """Read partitions, as `config.Partition` wants them, from what Slurm prints.

    Parameters
    ----------
    limits : by `scontrol show partition`, a line each: `PartitionName=gpu AllowAccounts=ALL ...`.
    nodes : by `sinfo`, a line for each kind of node of a partition, with its processors, its memory
        in MB and its GPUs: `gpu|64|512000|gpu:a100:4(S:0-1)`.
    account : partitions that are closed to it are left out, as are those that take no jobs now.
    """
    found = {}
    for line in limits.splitlines():
        said = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name = said["PartitionName"]
        kinds = [kind.split("|")[1:] for kind in nodes.splitlines() if kind.startswith(f"{name}|")]
        if said["State"] == "UP" and _is_open(said, account) and kinds:
            found[name] = _runtime(said["MaxTime"]) | _most(kinds)
    return found


def _is_open(said: dict[str, str], account: str) -> bool:
    if "DenyAccounts" in said:
        return account not in said["DenyAccounts"].split(",")
    allowed = said["AllowAccounts"].split(",")
    return "ALL" in allowed or account in allowed


def _runtime(time: str) -> dict[str, int]:
    """Read `[days-]hours:minutes:seconds`, or `UNLIMITED`."""
    if time == "UNLIMITED":
        return {}
    days, clock = time.split("-") if "-" in time else ("0", time)
    hours, minutes, _ = clock.split(":")
    return {"max_runtime": (int(days) * 24 + int(hours)) * 60 + int(minutes)}


def _most(kinds: list[list[str]]) -> dict[str, Any]:
    """Return the most that one node has, of nodes given as processors, memory and GPUs."""
    most: dict[str, Any] = {
        "max_mem_mb": max(int(memory) for _, memory, _ in kinds),
        "max_threads": max(int(processors) for processors, _, _ in kinds),
    }
    gpus = [gpu for _, _, generic in kinds for gpu in _gpus(generic)]
    if gpus:
        most["max_gpu"] = max(count for _, count in gpus)
    if models := sorted({model for model, _ in gpus} - {""}):
        most["available_gpu_models"] = models
    return most


def _gpus(generic: str) -> list[tuple[str, int]]:
    """Read models and numbers of GPUs from a node's `gpu:a100:4(S:0-1),gpu:h100:2,mps:400`."""
    found = []
    for part in re.sub(r"\(.*?\)", "", generic).split(","):
        kind, *rest = part.split(":")
        if kind == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            found.append((rest[0] if rest else "", count))
    return found


def fill_in(site: str, settings: dict[str, Any]) -> tuple[str, list[str]]:
    """Fill in what a site file leaves empty, as it comes: `account:`, `partitions: {}`.

    Parameters
    ----------
    site : text of the file.
    settings : what the cluster says.

    Returns
    -------
    site : text with those of the settings that were empty, everything else as it was.
    kept : names of the settings that were not empty.
    """
    kept = []
    for name, value in settings.items():
        setting = yaml.safe_dump({name: value}, sort_keys=False)
        empty = re.compile(rf"^{name}:(?: \{{\}})?\n(?! )", re.MULTILINE)
        site, n_filled = empty.subn(lambda _, setting=setting: setting, site)
        kept += [] if n_filled else [name]
    return site, kept


def jobs_of(folder: str) -> list[str]:
    """Return the numbers of the user's jobs that wait or run for a study in `folder`.

    None where there is no Slurm, or it does not answer: then none can be submitted either.
    """
    states = "--states=PENDING,RUNNING"  # a cancelled job may be COMPLETING for long
    try:
        printed = _ask(f"squeue --me {states} --noheader --format '%i|%j|%Z'")
    except InputError:
        return []
    jobs = [line.split("|", 2) for line in printed.splitlines()]
    return [number for number, name, place in jobs if name.startswith(PREFIX) and place == folder]


def _ask(command: str) -> str:
    """Return what a command of Slurm prints."""
    words = shlex.split(command)
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise InputError(f"{words[0]} was not found; ask on a login node of the cluster") from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"{command}: {' '.join(error.stderr.split())}") from None
    return done.stdout
