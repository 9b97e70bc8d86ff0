"""What the benchmarks share: a cluster, a release build, runs that are measured, medians and spreads."""
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]


def kq():
    """The binary to measure: $KQ, else a release build made now."""
    if "KQ" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return os.environ.get("KQ", str(ROOT / "target" / "release" / "kq"))


@contextlib.contextmanager
def kafka():
    """Brokers: $KQ_BROKERS, else one Apache Kafka 4.1.0 broker that is stopped at the end."""
    if "KQ_BROKERS" in os.environ:
        yield os.environ["KQ_BROKERS"]
        return
    cluster = str(ROOT / "tests" / "kafka" / "cluster.sh")
    with tempfile.TemporaryDirectory() as home:
        up = subprocess.run([cluster, "up", "4.1.0", "1", home], check=True, stdout=subprocess.PIPE)
        try:
            yield up.stdout.decode().split()[-1]
        finally:
            subprocess.run([cluster, "down", home], check=True)


@contextlib.contextmanager
def postgres():
    """The variables of a PostgreSQL server: those that are set, else of one that is stopped at the end."""
    if "PGHOST" in os.environ:
        yield {}
        return
    programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        sys.exit("no PostgreSQL server: install Debian's postgresql, or set PGHOST, PGUSER, …")
    with tempfile.TemporaryDirectory() as home:
        data = pathlib.Path(home) / "data"
        # Root may not run the server; nobody may.
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        if drop:
            os.chmod(home, 0o755)
            os.chown(home, 65534, 65534)
        make = [*drop, programs / "initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", data]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd="/")
        control = [*drop, programs / "pg_ctl", "-s", "-w", "-D", data, "-l", pathlib.Path(home) / "log"]
        on_a_socket = f"-c listen_addresses= -c unix_socket_directories={home}"
        subprocess.run([*control, "-o", on_a_socket, "start"], check=True, cwd="/")
        try:
            yield {"PGHOST": home, "PGUSER": "postgres", "PGDATABASE": "postgres"}
        finally:
            subprocess.run([*control, "-m", "fast", "stop"], check=True, cwd="/")


def measure(command, stdin=os.devnull, stdout=os.devnull):
    """Runs it to its end: seconds of wall and of CPU, peak MiB."""
    with open(stdin, "rb") as source, open(stdout, "wb") as sink:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)}: status {status}\n{said.decode()}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def in_turn(jobs, turn):
    """The jobs in their order, and turned about in every other round."""
    return jobs if turn % 2 == 0 else list(reversed(jobs))


def spread(values, digits=2):
    """`median (min–max)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def table(results, peer):
    """Prints {(job, who): [(wall, CPU, MiB), …]}; ratios are of medians, to `peer` at the same job."""
    head = ("wall s", "CPU s", "peak MiB", f"wall/{peer}", f"CPU/{peer}")
    print(f"{'':36}{head[0]:>20}{head[1]:>20}{head[2]:>10}{head[3]:>11}{head[4]:>10}")
    for (job, who), runs in results.items():
        wall, cpu, memory = zip(*runs)
        ratios = ""
        if (job, peer) in results:
            beside = [statistics.median(column) for column in zip(*results[(job, peer)])]
            ratios = f"{statistics.median(wall) / beside[0]:>11.2f}{statistics.median(cpu) / beside[1]:>10.2f}"
        print(f"{job:18}{who:18}{spread(wall):>20}{spread(cpu):>20}{statistics.median(memory):>10.0f}{ratios}")
