"""What becomes of a study when its cluster fails: `make slurm-faults`, `... FAULT=node-lost`.

The small study of study.py runs on a real Slurm by the command that users type: once undisturbed,
then from nothing under each fault, with the resume that docs/hpc.md asks for where one is needed.
Each has to end with the same files, byte for byte, as the undisturbed run (but for those that say
how and when all was made), and nothing that was done may be done again.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cluster import Cluster, ClusterError, missing, wait_until
from study import NAME, fit_to_cluster, login_shell, new_study

from lmcortex.plan import TABLES

COMMAND = ("snakemake", "--profile", "slurm")
TARGETS = [f"results/studies/{NAME}/tables/{name}.parquet" for name in (*TABLES, "truth_recovery")]
RULE = "extract_features"  # a GPU job, on which most of the study depends
LONGEST = 1200  # seconds that one run of Snakemake may take
# What may differ between two runs: how and when all was made.
RECORDS = re.compile(r"results/(logs|benchmarks)/|results/studies/.*/tables/provenance\.")

Attempts = list[dict[str, str]]  # at one job, as Slurm's accounting has them


@dataclass(frozen=True)
class Job:
    """A job as Snakemake announced it."""

    rule: str
    local: bool
    files: tuple[str, ...]  # its outputs and its benchmark
    log: str


class Run:
    """A call of Snakemake on the study, in the background, and what it has printed so far."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        number = len(list(folder.glob("run-*.txt"))) + 1
        self.printed = folder / f"run-{number}.txt"
        with self.printed.open("w") as output:
            self.process = subprocess.Popen(
                [*COMMAND, *options],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def text(self) -> str:
        return self.printed.read_text()

    def said(self) -> str:
        """Return what Snakemake printed, and what is in the logs of Slurm that it named."""
        named = set(re.findall(r"/\S+/slurm_logs/\S+\.log", self.text()))
        logs = [Path(log) for log in sorted(named)]  # Snakemake removes those of jobs that are done
        return "\n".join([self.text(), *(log.read_text() for log in logs if log.exists())])

    def wait_for(self, what: str, happens: Callable[[], bool]) -> None:
        """Wait until something happens while Snakemake runs."""
        wait_until(
            f"{what}; {self.printed}", lambda: happens() or self.process.poll() is not None, LONGEST
        )
        if self.process.poll() is not None:
            raise ClusterError(f"Snakemake ended before {what}; {self.printed}")

    def end(self) -> int:
        """Wait for the end and return the exit status."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"no end after {LONGEST} s; {self.printed}") from None

    def jobs(self) -> dict[str, Job]:
        """Return every job announced so far, by Snakemake's number."""
        jobs = {}
        announced = r"^(local)?rule (\w+):\n((?: +.*\n)+)"
        for local, rule, facts in re.findall(announced, self.text(), re.MULTILINE):
            about = dict(re.findall(r"^ +(\w+): (.*)$", facts, re.MULTILINE))
            if "benchmark" in about:  # else the rest is still to be printed
                files = (*about["output"].split(", "), about["benchmark"])
                jobs[about["jobid"]] = Job(rule, bool(local), files, about["log"])
        return jobs

    def submitted(self) -> dict[str, Job]:
        """Return the jobs that went to Slurm, by Slurm's number."""
        jobs = self.jobs()
        message = r"^Job (\d+) has been submitted with SLURM jobid (\d+)"
        pairs = re.findall(message, self.text(), re.MULTILINE)
        return {slurm_number: jobs[number] for number, slurm_number in pairs}

    def finished(self) -> list[Job]:
        jobs = self.jobs()
        return [jobs[number] for number in re.findall(r"\nFinished jobid: (\d+)", self.text())]


@dataclass
class Scene:
    """The study in a folder of its own, what happens to it, and what comes of that."""

    cluster: Cluster
    folder: Path
    cleanup: ExitStack
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    before: dict[str, tuple[int, int] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cleanup.callback(self.cluster.run, "scancel", "--user=root")
        self.folder.mkdir(exist_ok=True)
        new_study(self.folder)
        fit_to_cluster(self.folder)
        self.earlier = {job["JobID"] for job in self.cluster.jobs()}

    def start(self, *options: str) -> Run:
        """Start Snakemake as a user does."""
        run = Run(self.folder, login_shell(self.cluster.environment), *options)
        self.cleanup.callback(run.process.kill)
        self.runs.append(run)
        return run

    def make(self, *options: str) -> Run:
        return self.start(*options, "--", *TARGETS)

    def wait_for_command(self, run: Run, rule: str) -> str:
        """Wait until the command of a job of `rule` runs; return the job's number in Slurm."""

        def begun() -> list[str]:
            jobs = run.submitted()
            running = [number for number in self.cluster.running(rule) if number in jobs]
            return [number for number in running if (self.folder / jobs[number].log).exists()]

        run.wait_for(f"the command of {rule}", lambda: bool(begun()))
        self.note_finished()
        return begun()[0]

    def note_finished(self) -> None:
        """Remember the files of every job that is done by now: none may be made again."""
        files = [path for run in self.runs for job in run.finished() for path in job.files]
        self.before = {path: self.identity(path) for path in files}

    def identity(self, path: str) -> tuple[int, int] | None:
        """Return what changes when a file is written again; None where there is no such file."""
        if not (self.folder / path).exists():
            return None
        state = (self.folder / path).stat()
        return state.st_ino, state.st_mtime_ns

    def expect(self, what: str, holds: bool) -> None:
        if not holds:
            self.failures.append(f"expected that {what}")

    def accounted(self) -> dict[str, Attempts]:
        """Return Slurm's record of every attempt, by the rule and wildcards of the job."""
        records: dict[str, Attempts] = {}
        for job in self.cluster.jobs():
            if job["JobID"] not in self.earlier:
                records.setdefault(job["Comment"], []).append(job)
        return records

    def attempts(self, number: str) -> Attempts:
        """Return every attempt at the job that has, or had once, this number in Slurm."""
        return next(
            attempts
            for attempts in self.accounted().values()
            if number in {attempt["JobID"] for attempt in attempts}
        )

    def done_twice(self) -> list[str]:
        """Return the jobs that were done more than once: by Slurm's records, or here."""
        done: Counter[str] = Counter()
        for job, attempts in self.accounted().items():
            done[job] += sum(attempt["State"] == "COMPLETED" for attempt in attempts)
        for run in self.runs:
            done.update(job.files[0] for job in run.finished() if job.local)
        return [job for job, times in done.items() if times > 1]

    def digests(self) -> dict[str, str]:
        """Return a digest of each file in results/."""
        paths = [path for path in (self.folder / "results").rglob("*") if path.is_file()]
        names = {path.relative_to(self.folder).as_posix(): path for path in paths}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in names.items()
            if not RECORDS.match(name)
        }

    def different(self, expected: dict[str, str]) -> list[str]:
        """Return the files that are not as in the undisturbed run."""
        found = self.digests()
        names = sorted(expected.keys() | found.keys())
        return [name for name in names if expected.get(name) != found.get(name)]

    def remade(self) -> list[str]:
        """Return the files that were there before the fault and were written again after it."""
        return [path for path, identity in self.before.items() if self.identity(path) != identity]

    def nothing_left(self) -> bool:
        last = self.make("--dry-run")
        return last.end() == 0 and "Nothing to be done" in last.text()


@dataclass(frozen=True)
class Story:
    """What was done to a study, what happened then, and what its user did about it."""

    done: str
    happened: str
    user: str = "nothing"


def told(attempts: Attempts, fact: str = "JobID") -> str:
    """Tell attempts at a job in words: ``TIMEOUT (1), COMPLETED (2)``."""
    return ", ".join(f"{attempt['State']} ({attempt[fact]})" for attempt in attempts)


# The faults. Each breaks something while the study runs, and does what a user would.


def job_cancelled(scene: Scene) -> Story:
    run = scene.make()
    number = scene.wait_for_command(run, RULE)
    scene.cluster.run("scancel", number)
    code = run.end()
    attempts = scene.attempts(number)
    scene.expect("the run goes on to its end", code == 0)
    scene.expect("the job is cancelled", attempts[0]["State"].startswith("CANCELLED"))
    return Story(f"scancel of a running {RULE}", f"{told(attempts)}; exit {code}")


def node_lost(scene: Scene, *options: str) -> Story:
    run = scene.make(*options)
    number = scene.wait_for_command(run, RULE)
    node = scene.cluster.show_job(number)["NodeList"]
    scene.cluster.kill_node(node)
    scene.cleanup.callback(scene.cluster.start_node, node)
    code = run.end()
    attempts = scene.attempts(number)
    scene.expect("the run goes on to its end", code == 0)
    scene.expect("the job is lost with its node", attempts[0]["State"] == "NODE_FAIL")
    return Story(
        " ".join([f"power cut of {node} while it runs {RULE}", *options]),
        f"{told(attempts, 'NodeList')}; exit {code}",
    )


def node_lost_for_good(scene: Scene) -> Story:
    """As on a cluster that does not start jobs again by itself (JobRequeue=0)."""
    return node_lost(scene, "--slurm-no-requeue")


def out_of_memory(scene: Scene) -> Story:
    run = scene.make("--set-resources", f"{RULE}:mem_mb=600*attempt")
    number = scene.wait_for_command(run, RULE)
    code = run.end()
    attempts = scene.attempts(number)
    scene.expect("the run goes on to its end", code == 0)
    scene.expect("the first attempt has too little memory", len(attempts) > 1)
    scene.expect("a log says so", "exceeded memory limit" in run.said())
    return Story(f"too little memory for {RULE}", f"{told(attempts, 'ReqMem')}; exit {code}")


def timed_out(scene: Scene) -> Story:
    run = scene.make("--set-resources", f"{RULE}:runtime=attempt")
    number = scene.wait_for_command(run, RULE)
    send(signal.SIGSTOP, scene.folder)  # as if its file system did not answer
    code = run.end()
    attempts = scene.attempts(number)
    scene.expect("the run goes on to its end", code == 0)
    scene.expect("the first attempt is out of time", attempts[0]["State"] == "TIMEOUT")
    scene.expect("the message says so", "TIMEOUT" in run.text())
    return Story(f"{RULE} hangs beyond its time", f"{told(attempts, 'TimelimitRaw')}; exit {code}")


def send(signal_number: signal.Signals, folder: Path) -> None:
    """Send a signal to every command of RULE that runs for the study in `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_text().split("\0")
            here = (process / "cwd").readlink() == folder
        except OSError:
            continue  # it has ended, or is not ours to look at
        if here and arguments[1:2] == [f"workflow/scripts/{RULE}.py"]:
            os.kill(int(process.name), signal_number)


def snakemake_killed(scene: Scene) -> Story:
    run = scene.make()
    number = scene.wait_for_command(run, RULE)
    send(signal.SIGSTOP, scene.folder)  # so that it runs as long as the user is too quick
    run.process.kill()
    run.process.wait()
    locked = scene.make()
    scene.expect("it refuses a locked folder", locked.end() == 1)
    scene.expect("it says how to unlock", "--unlock" in locked.text())
    scene.expect("--unlock succeeds", scene.start("--unlock").end() == 0)
    early = scene.make()
    scene.expect("it refuses to submit again what still runs", early.end() == 1)
    named = re.search(r"jobs of an earlier run here: ([\d, ]+)", early.text())
    scene.expect("it says what runs", named is not None and number in named[1].split(", "))
    send(signal.SIGCONT, scene.folder)
    wait_until("an empty queue", lambda: not scene.cluster.run("squeue", "--noheader"), LONGEST)
    resumed = scene.make()
    code = resumed.end()
    attempts = scene.attempts(number)
    scene.expect("the resume goes to its end", code == 0)
    scene.expect("what ended without Snakemake is accepted", len(attempts) == 1)
    return Story(
        f"kill -9 of Snakemake while {RULE} runs",
        f"{told(attempts)}; start: says --unlock; start: says what still runs; start: exit {code}",
        "--unlock, waits for an empty `squeue --me`, starts again",
    )


def controller_down(scene: Scene) -> Story:
    run = scene.make()
    run.wait_for("a checkpoint is fetched", lambda: "rule fetch_checkpoint:" in run.text())
    scene.note_finished()
    scene.cluster.stop_controller()
    time.sleep(30)
    scene.cluster.start_controller()
    codes = [run.end()]
    refused = run.text().count("SLURM sbatch failed")
    if codes[0]:
        codes.append(scene.make().end())
    scene.expect("submissions meet the outage", refused > 0)
    scene.expect("the run, or its resume, goes to its end", codes[-1] == 0)
    return Story(
        f"no slurmctld for 30 s while {RULE} is submitted",
        f"{refused} sbatch refused; exit {', then '.join(map(str, codes))}",
        "nothing" if len(codes) == 1 else "starts again",
    )


def disk_full(scene: Scene) -> Story:
    results = scene.folder / "results"
    run = scene.make()
    scene.wait_for_command(run, "simulate_responses")
    leave_free(results, 0)
    code = run.end()
    scene.expect("the run ends with an error", code == 1)
    scene.expect("the error says that the disk is full", "the disk is full" in run.said())
    partial = [path.name for path in results.rglob("*.partial")]
    scene.expect(f"nothing is half-written, but {partial} is", not partial)
    leave_free(results, 64)
    last = scene.make().end()
    scene.expect("the resume goes to its end", last == 0)
    return Story(
        "no space left in results/ while simulate_responses runs",
        f"exit {code}, says that the disk is full; with more space exit {last}",
        "frees some space, starts again",
    )


@contextmanager
def own_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of its own on `folder`; nodes that start later see it too."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "results", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def leave_free(folder: Path, megabytes: int) -> None:
    """Give the disk on `folder` a size that leaves so much of it free."""
    disk = os.statvfs(folder)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    size = f"remount,size={used + megabytes * 2**20}"
    subprocess.run(["mount", "-o", size, folder], check=True)


FAULTS: dict[str, Callable[[Scene], Story]] = {
    "cancelled": job_cancelled,
    "node-lost": node_lost,
    "node-lost-no-requeue": node_lost_for_good,
    "memory": out_of_memory,
    "time": timed_out,
    "killed": snakemake_killed,
    "controller": controller_down,
    "disk": disk_full,
}


def undisturbed(cluster: Cluster, folder: Path) -> dict[str, str]:
    """Run the study without any fault and return the digests of its files."""
    with ExitStack() as cleanup:
        scene = Scene(cluster, folder, cleanup)
        run = scene.make()
        if run.end() != 0:
            raise ClusterError(f"the undisturbed run failed; {run.printed}")
        assert not scene.done_twice()
        return scene.digests()


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    fault: str
    done: str
    happened: str
    user: str
    identical: str
    twice: int
    seconds: int


def under_fault(
    name: str, cluster: Cluster, folder: Path, expected: dict[str, str]
) -> tuple[Row, list[str]]:
    """Run the study under a fault; return what came of it, and what should not have."""
    start = time.monotonic()
    with ExitStack() as cleanup:
        scene = Scene(cluster, folder, cleanup)
        story = FAULTS[name](scene)
        different, twice = scene.different(expected), [*scene.done_twice(), *scene.remade()]
        scene.expect(f"all files are as undisturbed, but {different} are not", not different)
        scene.expect(f"nothing is done twice, but {twice} was", not twice)
        scene.expect("nothing is left to do", scene.nothing_left())
    identical = "no" if different else f"yes, {len(expected)} files"
    seconds = round(time.monotonic() - start)
    row = Row(name, story.done, story.happened, story.user, identical, len(twice), seconds)
    return row, scene.failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(FAULTS)}; default: all of them")
    faults = parser.parse_args().faults or list(FAULTS)
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    if lacks := missing():
        parser.error(lacks)
    folder = Path(tempfile.mkdtemp(prefix="slurm-faults-"))
    rows, failures = [], []
    with own_disk(folder / "disk" / "results"), Cluster(folder / "cluster") as cluster:
        print(f"undisturbed: in {folder}", flush=True)
        expected = undisturbed(cluster, folder / "undisturbed")
        for name in faults:
            print(f"{name}: ", end="", flush=True)
            try:
                row, failed = under_fault(name, cluster, folder / name, expected)
                rows.append(row)
                print(row.happened, flush=True)
            except ClusterError as error:
                failed = [str(error)]
                print(error, flush=True)
            failures += [f"{name}: {failure}" for failure in failed]
    print("\n| fault | what was done | what happened | the user | same files | done twice | s |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join(str(value) for value in asdict(row).values()), "|")
    if failures:
        print(f"\nNot as it should be; all is in {folder}", *failures, sep="\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
