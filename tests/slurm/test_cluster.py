"""A small study on a real Slurm cluster, by the command that its users type."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from cluster import ACCOUNT, STAND_IN_GPUS, Cluster, wait_until
from hub import Hub, serve
from study import NAME, add_hub_model, fit_to_cluster, hub_files, login_shell, new_study, tables

COMMAND = "snakemake --profile slurm"
GPU_RULES = {"extract_features", "fit_encoding"}
PATIENCE = 1200  # seconds, for what takes two minutes where nothing else runs
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
except OSError as error:
    print(error.strerror)
"""


@dataclass(frozen=True)
class Run:
    """What became of the study on the cluster."""

    folder: Path
    code: int
    printed: str
    jobs: list[dict[str, str]]  # of Slurm, by its accounting
    cancelled: dict[str, str]  # the job that was, as the controller knew it while it ran

    def requests(self) -> dict[str, dict[str, str]]:
        """Return the threads and resources that Snakemake worked out for each Slurm job."""
        found: dict[str, dict[str, str]] = {}
        latest: dict[str, dict[str, str]] = {}
        announced = r"^rule \w+:\n(?P<facts>(?:    .*\n)+)"
        submitted = r"^Job (?P<job>\d+) has been submitted with SLURM jobid (?P<id>\d+)"
        for match in re.finditer(f"{announced}|{submitted}", self.printed, re.MULTILINE):
            if match["id"]:
                found[match["id"]] = latest[match["job"]]
            else:
                facts = dict(re.findall(r"^    (\w+): (.*)", match["facts"], re.MULTILINE))
                resources = dict(re.findall(r"(\w+)=([^,]+)", facts["resources"]))
                latest[facts["jobid"]] = {"threads": facts.get("threads", "1"), **resources}
        return found


def lay_out(folder: Path) -> Path:
    new_study(folder)
    add_hub_model(folder)
    fit_to_cluster(folder)
    return folder


def cancel_one(
    cluster: Cluster, folder: Path, snakemake: subprocess.Popen[bytes]
) -> dict[str, str]:
    """Cancel a fit as soon as the command of one runs; return its job as Slurm knew it."""
    running: list[str] = []

    def runs() -> bool:
        begun = any(folder.glob("results/logs/**/encoding/**/*.log"))
        running[:] = cluster.running("fit_encoding") if begun else []
        return bool(running) or snakemake.poll() is not None

    wait_until("a fit", runs, PATIENCE)
    assert running, (folder / "printed").read_text()[-6000:]
    job = cluster.show_job(running[0])
    cluster.run("scancel", running[0])
    return job


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve(Hub(hub_files())) as hub:
        yield hub


@pytest.fixture(scope="module")
def run(cluster: Cluster, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the study on the cluster, and cancel one of its jobs while it runs."""
    folder = lay_out(tmp_path_factory.mktemp("on-slurm"))
    shell = login_shell(cluster.environment, HF_ENDPOINT=hub.endpoint, HF_HOME=f"{folder}/hf")
    with (folder / "printed").open("w") as printed:
        snakemake = subprocess.Popen(
            COMMAND.split(), cwd=folder, env=shell, stdout=printed, stderr=subprocess.STDOUT
        )
    try:
        cancelled = cancel_one(cluster, folder, snakemake)
        code = snakemake.wait(PATIENCE)
    finally:
        snakemake.kill()
        snakemake.wait()
    jobs = [job for job in cluster.jobs() if job["Rule"]]
    return Run(folder, code, (folder / "printed").read_text(), jobs, cancelled)


def test_a_node_reaches_neither_the_hub_nor_the_internet(cluster: Cluster, hub: Hub) -> None:
    hub_at = urlsplit(hub.endpoint)
    connect = ["python3", "-c", CONNECT, str(hub_at.hostname), str(hub_at.port)]
    assert cluster.run(*connect) == ""
    assert cluster.run("srun", *connect) == "Connection refused\n"
    outside = ["192.0.2.1", "80"]  # an address for documents, that none has: no road leads there
    assert cluster.run("srun", *connect[:3], *outside) == "Network is unreachable\n"


def test_the_study_runs_to_its_end(run: Run) -> None:
    assert run.code == 0, run.printed[-6000:]
    assert {"scores", "draws", "scaling", "truth_recovery"} <= set(tables(run.folder))


def test_only_the_login_node_goes_online(run: Run, hub: Hub) -> None:
    assert "fetch_checkpoint" not in {job["Rule"] for job in run.jobs}
    assert any("model.safetensors" in request for request in hub.requests)
    assert "hub-tiny" in set(tables(run.folder)["scores"]["model"])


def test_gpu_jobs_and_only_they_are_given_gpus(run: Run) -> None:
    given = {(job["Rule"], job["Partition"], job["Gpus"]) for job in run.jobs}
    assert {(rule, "gpu", "1") for rule in GPU_RULES} == {kind for kind in given if kind[2] != "0"}
    assert {partition for _, partition, gpus in given if gpus == "0"} == {"cpu"}


def test_the_site_file_is_what_the_cluster_says_of_itself(run: Run, cluster: Cluster) -> None:
    site = yaml.safe_load((run.folder / "profiles" / "slurm" / "site.yaml").read_text())
    most = {"max_runtime": 2880, "max_mem_mb": cluster.memory_mb, "max_threads": cluster.cpus}
    assert site["partitions"] == {"cpu": most, "gpu": {**most, "max_gpu": len(STAND_IN_GPUS)}}
    assert {job["Account"] for job in run.jobs} == {site["account"]} == {ACCOUNT}


def test_jobs_ask_for_what_their_rules_work_out(run: Run) -> None:
    requests = run.requests()
    assert {job["JobID"] for job in run.jobs} == set(requests)
    for job in run.jobs:
        worked_out = requests[job["JobID"]]
        assert job["ReqMem"] == f"{worked_out['mem_mb']}M", job
        assert job["TimelimitRaw"] == worked_out["runtime"], job
        assert f"cpu={worked_out['threads']}," in job["AllocTRES"], job
    hours, minutes = divmod(int(requests[run.cancelled["JobId"]]["runtime"]), 60)
    assert run.cancelled["TimeLimit"] == f"{hours:02}:{minutes:02}:00"


def test_a_cancelled_job_is_run_again_and_no_other(run: Run) -> None:
    attempts: dict[str, list[dict[str, str]]] = {}
    for job in run.jobs:
        attempts.setdefault(job["Comment"], []).append(job)
    first, second = attempts.pop(run.cancelled["Comment"])
    assert (first["State"], second["State"]) == ("CANCELLED by 0", "COMPLETED")
    assert int(second["TimelimitRaw"]) == 2 * int(first["TimelimitRaw"])
    assert [[job["State"] for job in of_one] for of_one in attempts.values()] == [
        ["COMPLETED"]
    ] * len(attempts)


def test_the_tables_are_those_of_a_run_without_slurm(
    run: Run, cluster: Cluster, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = lay_out(tmp_path_factory.mktemp("local"))
    profile = yaml.safe_load((folder / "profiles" / "slurm" / "config.yaml").read_text())
    threads = profile["set-threads"]  # sums are taken in another order with another number
    options = ["--cores", str(max(threads.values())), "--config", "device=cpu", "--set-threads"]
    options += [f"{rule}={number}" for rule, number in threads.items()]
    on_slurm = tables(run.folder)
    targets = [f"results/studies/{NAME}/tables/{name}.parquet" for name in on_slurm]
    done = subprocess.run(
        ["snakemake", *options, "--", *targets],
        cwd=folder,
        env=login_shell(cluster.environment, HF_ENDPOINT=hub.endpoint, HF_HOME=f"{folder}/hf"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    local = tables(folder)
    assert [name for name in on_slurm if not on_slurm[name].equals(local[name])] == []
