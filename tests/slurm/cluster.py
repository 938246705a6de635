"""A real Slurm cluster on one Debian machine, for as long as a test runs.

munge, MariaDB, slurmdbd, slurmctld and the slurmd of each node run as children of this process,
with all their state in one folder, and die with it. The nodes live in a network namespace whose
only way out is a cable to the controller: no route to the internet, none to the controller's own
loopback interface. Each node has a process namespace of its own, so that one kill takes a node down
with all that runs on it. Their GPUs are stand-ins: Slurm hands them out, nothing computes on them.
"""

import csv
import fcntl
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import StringIO
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import IO, Self

PACKAGES = {  # of Debian, by a command of theirs
    "slurmctld": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "ip": "iproute2",
}
LOCK = Path("/run/lock/lmcortex-slurm.lock")
# Job steps of the Slurm executor drop SLURM_CONF from their environment: this is where they look.
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
CABLE = "lmcortex-slurm"
CONTROLLER, COMPUTE = "10.213.77.1", "10.213.77.2"
NAME, ACCOUNT = "lmcortex_test", "lab"
NODES = {"cpu": ("c1", "c2"), "gpu": ("g1", "g2")}  # by partition; the first is the default
SLURMD_PORTS = dict(zip(chain(*NODES.values()), count(6818), strict=False))
STAND_IN_GPUS = ("/dev/null", "/dev/zero")  # of each node; Slurm wants a device file for each

SLURM_CONF = """
ClusterName={cluster}
SlurmctldHost={host}({controller})
SlurmctldPort={slurmctld_port}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
# Nodes may claim more processors and memory than this machine has.
SlurmdParameters=config_overrides
MpiDefault=none
# A node counts as lost after half a minute.
SlurmdTimeout=30
ReturnToService=2
KillWait=2
# Memory: asked for in jobs, measured every second, and a job that has more is killed.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# Jobs of seconds: look for work all the time.
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={controller}
AccountingStoragePort={slurmdbd_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
# The comment of a job names its rule.
AccountingStoreFlags=job_comment
"""
SLURMDBD_CONF = """
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr={controller}
DbdPort={slurmdbd_port}
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""
DATABASE = """
CREATE DATABASE IF NOT EXISTS slurm;
CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm';
CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm';
GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';
GRANT ALL ON slurm.* TO 'slurm'@'localhost';
"""


class ClusterError(Exception):
    """What the cluster lacks, or which of its commands failed."""


def missing() -> str:
    """Say what this machine lacks for a cluster; nothing where all is there."""
    if os.geteuid() != 0:
        return "only root can bring a Slurm cluster up: run this as root"
    absent = [package for command, package in PACKAGES.items() if not shutil.which(command)]
    if absent:
        return f"a Slurm cluster needs: apt-get install {' '.join(absent)} (on Debian)"
    inner = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"]
    tried = subprocess.run(inner, capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"network and process namespaces are not permitted here: {tried.stderr.strip()}"
    return ""


def wait_until(what: str, happens: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `happens` is true.

    Raises
    ------
    ClusterError : it was not within `seconds`.
    """
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            raise ClusterError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Cluster:
    """Two partitions of two nodes; ``with Cluster(folder) as cluster`` starts and stops them.

    Parameters
    ----------
    folder : holds the state and logs of all daemons; short, since sockets lie in it
    memory_mb : of each node, enforced by Slurm whatever this machine has
    cpus : of each node, likewise
    """

    folder: Path
    memory_mb: int = 16000
    cpus: int = 4
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _lock: IO[str] | None = None

    def __enter__(self) -> Self:
        if lacks := missing():
            raise ClusterError(lacks)
        self._lock = LOCK.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # one cluster at a time
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        # One that names this cluster was left by a process that was killed.
        if SYSTEM_CONF.exists() and f"ClusterName={NAME}\n" not in SYSTEM_CONF.read_text():
            raise ClusterError(
                f"{SYSTEM_CONF} is another cluster's, whose place this one would take"
            )
        for name in ("log", "state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self._join_networks()
        mariadb_port = self._configure()
        self._start_munge()
        self._start_database(mariadb_port)
        self.start_controller()
        for node in chain(*NODES.values()):
            self.start_node(node)

    def stop(self) -> None:
        """Stop all that was started, and take the link in /etc/slurm away."""
        for name in reversed(list(self._running)):
            self._kill(name)
        subprocess.run(["ip", "link", "delete", CABLE], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.folder / "mariadb", ignore_errors=True)  # the logs stay
        if SYSTEM_CONF.is_symlink() and SYSTEM_CONF.readlink() == self.conf:
            SYSTEM_CONF.unlink()
        if self._lock:
            self._lock.close()

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What a user's shell on the login node has: no settings of a job around this process."""
        outer = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        return outer | {"SLURM_CONF": str(self.conf)}

    def run(self, *command: str) -> str:
        """Run a command of Slurm and return what it printed."""
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, check=False
        )
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    # Faults: what can happen to a cluster.

    def stop_controller(self) -> None:
        """Stop slurmctld as an administrator would: it saves its state; running jobs go on."""
        self._running["slurmctld"].terminate()
        self._running.pop("slurmctld").wait()

    def start_controller(self) -> None:
        self._spawn("slurmctld", "slurmctld", "-D")
        wait_until("slurmctld", lambda: self._succeeds("scontrol", "ping"))

    def kill_node(self, node: str) -> None:
        """Cut a node's power: its slurmd and every process of its jobs are gone at once."""
        self._kill(node)

    def start_node(self, node: str) -> None:
        """Switch a node on, and wait until it is up."""
        # The shell is the first process of the node's namespace: it reaps what others leave.
        shell = ["sh", "-c", f"slurmd -D -N {node} & wait"]
        contained = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *shell]
        namespace = f"--net=/proc/{self._running['network'].pid}/ns/net"
        self._spawn(node, "nsenter", namespace, *contained)
        wait_until(f"slurmd of {node}", lambda: listens(COMPUTE, SLURMD_PORTS[node]))
        up = ("idle", "mixed", "allocated")
        wait_until(f"node {node}", lambda: self.state_of(node) in up)

    # What the cluster says of itself.

    def state_of(self, node: str) -> str:
        """Return a node's state as sinfo words it: ``idle``, ``allocated``, ``down*``."""
        return self.run("sinfo", "--noheader", "-n", node, "-o", "%T").strip()

    def jobs(self) -> list[dict[str, str]]:
        """Return a row for each job ever submitted, from the accounting (sacct).

        Slurm keeps the comment, which names the rule, when a job has ended.
        Keys: those of sacct, with ``Rule`` for the rule that a job ran, ``Gpus`` for the number of
        GPUs it was given, and ``MaxRSS`` of its largest step (MB).
        """
        names = "JobID,Comment,Account,Partition,NodeList,State,ReqMem,TimelimitRaw,AllocTRES"
        names += ",ReqTRES,ElapsedRaw,MaxRSS,ExitCode,Submit,Start,End"
        printed = self.run(
            *("sacct", "--allusers", "--starttime=now-1days", "--duplicates", "--units=M"),
            *("--parsable2", f"--format={names}"),
        )
        rows = list(csv.DictReader(StringIO(printed), delimiter="|"))
        jobs = [row for row in rows if "." not in row["JobID"]]
        for job in jobs:
            job["Rule"] = rule_of(job["Comment"])
            given = re.search(r"gres/gpu=(\d+)", job["AllocTRES"])
            job["Gpus"] = given[1] if given else "0"
            steps = [row["MaxRSS"] for row in rows if row["JobID"].startswith(f"{job['JobID']}.")]
            job["MaxRSS"] = str(max((float(step.rstrip("M") or 0) for step in steps), default=0.0))
        return jobs

    def show_job(self, job_id: str) -> dict[str, str]:
        """Return what the controller knows of a job (scontrol show job)."""
        printed = self.run("scontrol", "show", "job", job_id, "--oneliner")
        return dict(re.findall(r"([\w:/]+)=(\S*)", printed))

    def running(self, rule: str) -> list[str]:
        """Return the ids of the jobs of a rule that run now."""
        printed = self.run("squeue", "--noheader", "--states=RUNNING", "-o", "%i %k")
        jobs = (line.split(maxsplit=1) for line in printed.splitlines())
        return [job_id for job_id, comment in jobs if rule_of(comment) == rule]

    # The daemons.

    def _spawn(self, name: str, *command: str) -> None:
        """Start a daemon in the foreground, as a child that dies when this process does."""
        with (self.folder / "log" / f"{name}.out").open("ab") as output:
            self._running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=self.folder,
            )

    def _kill(self, name: str) -> None:
        daemon = self._running.pop(name)
        daemon.kill()
        daemon.wait()

    def _succeeds(self, *command: str) -> bool:
        try:
            self.run(*command)
        except ClusterError:
            return False
        return True

    def _join_networks(self) -> None:
        """Make the nodes' network, and lay one cable from it to this machine's."""
        self._spawn("network", "unshare", "--net", "sleep", "infinity")
        namespace = f"/proc/{self._running['network'].pid}/ns/net"
        own = os.readlink("/proc/self/ns/net")
        wait_until("the nodes' network", lambda: os.readlink(namespace) != own)
        inner = f"nsenter --net={namespace}"
        for command in (
            f"ip link add {CABLE} type veth peer name eth0 netns {self._running['network'].pid}",
            f"ip address add {CONTROLLER}/30 dev {CABLE}",
            f"ip link set {CABLE} up",
            f"{inner} ip address add {COMPUTE}/30 dev eth0",
            f"{inner} ip link set eth0 up",
            f"{inner} ip link set lo up",
        ):
            self.run(*command.split())

    def _configure(self) -> int:
        """Write the configuration, link it, and return the port of the database."""
        facts = {
            "cluster": NAME,
            "folder": self.folder,
            "host": socket.gethostname().partition(".")[0],
            "controller": CONTROLLER,
            "slurmctld_port": free_port(),
            "slurmdbd_port": free_port(),
            "mariadb_port": free_port(),
        }
        lines = [SLURM_CONF.format(**facts)]
        for partition, nodes in NODES.items():
            gpus = f" Gres=gpu:{len(STAND_IN_GPUS)}" if partition == "gpu" else ""
            for node in nodes:
                lines.append(
                    f"NodeName={node} NodeHostname={facts['host']} NodeAddr={COMPUTE}"
                    f" Port={SLURMD_PORTS[node]} CPUs={self.cpus} RealMemory={self.memory_mb}{gpus}"
                )
            default = "NO" if gpus else "YES"
            lines.append(
                f"PartitionName={partition} Nodes={','.join(nodes)} Default={default}"
                " MaxTime=2-00:00:00"
            )
        self.conf.write_text("\n".join(lines) + "\n")
        devices = [
            f"NodeName={','.join(NODES['gpu'])} Name=gpu File={device}" for device in STAND_IN_GPUS
        ]
        (self.folder / "gres.conf").write_text("\n".join(devices) + "\n")
        (self.folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**facts))
        (self.folder / "slurmdbd.conf").chmod(0o600)  # slurmdbd insists
        SYSTEM_CONF.parent.mkdir(exist_ok=True)
        SYSTEM_CONF.unlink(missing_ok=True)
        SYSTEM_CONF.symlink_to(self.conf)
        return facts["mariadb_port"]

    def _start_munge(self) -> None:
        key, munge_socket = self.folder / "munge.key", self.folder / "munge.socket"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        self._spawn(
            *("munged", "munged", "--foreground", "--force", f"--key-file={key}"),
            *(f"--socket={munge_socket}", f"--pid-file={self.folder}/munged.pid"),
            *(f"--log-file={self.folder}/log/munged.log", f"--seed-file={self.folder}/munged.seed"),
        )
        wait_until("munged", munge_socket.exists)

    def _start_database(self, port: int) -> None:
        data, init = self.folder / "mariadb", self.folder / "database.sql"
        init.write_text(DATABASE)
        self.run(
            *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"),
            *("--skip-test-db", "--auth-root-authentication-method=socket"),
        )
        self._spawn(
            *("mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}"),
            *(f"--socket={self.folder}/mariadb.socket", f"--pid-file={self.folder}/mariadb.pid"),
            *("--bind-address=127.0.0.1", f"--port={port}", f"--init-file={init}"),
            *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
        )
        wait_until("MariaDB", lambda: listens("127.0.0.1", port))
        self._spawn("slurmdbd", "slurmdbd", "-D")
        wait_until("slurmdbd", lambda: self._succeeds("sacctmgr", "-n", "show", "cluster"))
        for entity in (
            f"cluster {NAME}",
            f"account {ACCOUNT} cluster={NAME}",
            f"user root account={ACCOUNT}",
        ):
            self.run("sacctmgr", "--immediate", "add", *entity.split())
        self.run(*f"sacctmgr --immediate modify user root set defaultaccount={ACCOUNT}".split())


def rule_of(comment: str) -> str:
    """Return the rule that the Slurm executor names in a job's comment."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0]
