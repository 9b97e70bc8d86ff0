"""A program that a check starts, its log and its end; kq; waits with a limit."""
import os
import pathlib
import signal
import subprocess
import sys
import time

PATIENCE = 60
ROOT = pathlib.Path(__file__).resolve().parents[2]
KQ = os.environ.get("KQ", ROOT / "target/debug/kq")
# A check that is stopped ends what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by a signal"))


class Program:
    """A Java program with its output in a file. It is ended at the end of the `with`."""

    def __init__(self, log, classpath, main, *args, logging=ROOT / "tests/kafka/log4j2.properties"):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                 f"-Dlog4j2.configurationFile={logging}", "-cp", classpath, main, *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)

    def end(self, how):
        """Sends a signal if it still runs, and waits for its end, which is forced after a time."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.fail(f"it did not end within {PATIENCE} s of signal {how}")

    def said(self):
        return self.log.read_text(errors="replace")

    def fail(self, why):
        told = [line for line in self.said().splitlines() if not line.startswith("\tat ")]
        tail = "\n".join(told[-30:])
        sys.exit(f"{why}\n--- {self.log.name}\n{tail}")

    def wait_for(self, what, look):
        """What `look` finds, as soon as it is not None. An end of the program is an error."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = look()
            if found is not None:
                return found
            if self.process.poll() is not None:
                self.fail(f"{what}: the program ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                self.fail(f"{what}: not within {PATIENCE} s")
            time.sleep(0.1)


def kq(*args, records=""):
    """What `kq ARGS` prints, as lines."""
    done = subprocess.run([KQ, "-q", *args], input=records, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        sys.exit(f"kq {' '.join(args)}: status {done.returncode}\n{done.stderr}")
    return done.stdout.splitlines()


def expect(what, expected, seen):
    if expected != seen:
        sys.exit(f"{what}: expected {expected!r}, saw {seen!r}")
