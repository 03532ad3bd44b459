"""The simulated Telegram, on the controller's side, and the people on it."""

import json
import re
import subprocess
import threading
import time

BROKER, ALICE = 5000, 1001
PHONE = "+9996625000"


class Telegram:
    """A datacenter, and a proxy by which hosts get there: it listens on the controller's loopback."""

    def __init__(self, network, program, folder, replicas):
        self.keys = folder / "keys"
        self.lines, self.news = [], threading.Condition()
        people = ["--user", f"{ALICE}:Alice", "--user", f"{BROKER}:vaultgram:{PHONE}"]
        keys = ["--keys", str(self.keys), "--signed-out", str(replicas)]
        self.process = subprocess.Popen(
            network.command(program, *people, *keys),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.proxy = subprocess.Popen(network.command("microsocks", "-i", "10.0.0.1", "-p", "1080"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._listen, daemon=True).start()
        self.address = self._find(r"datacenter 2 at (\S+)")
        self.code = self._find(rf"{BROKER} signs in with \S+ and the code (\d+)")
        self._find(rf"wrote (\S*signed-out-{replicas}.key)")

    def session(self, number):
        """A session that nobody is signed in with, as JSON: it knows the way here and a key."""
        key = (self.keys / f"signed-out-{number}.key").read_bytes().hex()
        port = self.address.split(":")[1]
        dc = {"id": 2, "ipv4": self.address, "ipv6": f"[::1]:{port}", "key": key}
        updates = {"pts": 0, "qts": 0, "date": 0, "seq": 0, "channels": []}
        session = {"version": 1, "home_dc": 2, "dcs": [dc], "me": None, "peers": [], "updates": updates}
        return json.dumps(session)

    def ask(self, text, seconds=60):
        """What vaultgram answers Alice; None where it does not."""
        with self.news:
            start = len(self.lines)
            self.process.stdin.write(f"{ALICE} > {BROKER}: {text}\n")
            self.process.stdin.flush()
        return self._after(start, rf"\[{ALICE}\] #\d+ from {BROKER}: (.*)", seconds)

    def _listen(self):
        for line in self.process.stdout:
            with self.news:
                # A message of several lines is one.
                if line.startswith(("[", "!", "wrote", "datacenter")) or not self.lines or " signs in " in line:
                    self.lines.append(line)
                else:
                    self.lines[-1] += line
                self.news.notify_all()

    def _after(self, start, pattern, seconds):
        end = time.monotonic() + seconds
        with self.news:
            while time.monotonic() < end:
                for position in range(start, len(self.lines)):
                    if re.match(pattern, self.lines[position], re.DOTALL):
                        # The rest of it may be on its way, until another message follows.
                        while position == len(self.lines) - 1 and self.news.wait(0.2):
                            pass
                        return re.match(pattern, self.lines[position], re.DOTALL).group(1)
                self.news.wait(0.5)
        return None

    def _find(self, pattern):
        found = self._after(0, pattern, 20)
        if found is None:
            raise SystemExit(f"the simulated Telegram never said {pattern}")
        return found

    def stop(self):
        """Both."""
        for process in (self.process, self.proxy):
            process.kill()
            process.wait()
