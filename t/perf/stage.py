# SPDX-License-Identifier: ISC
"""Where everything happens: folders, certificates, networks, processes.

make perf runs in namespaces of its own (run.py enters them): the loopback's counters count this run
alone, any port is free, and whatever is left of processes and mounts goes away with the last of it.
"""
import os
import shlex
import shutil
import subprocess
import tempfile
import time

BUILD = os.path.realpath(os.environ.get("BUILD", "build"))

# name: (address of the server, device whose counters tell what crossed)
LINKS = {
    "local": ("127.0.0.1", "lo"),  # no link: the loopback
    "slow": ("10.77.1.1", "slow0"),  # 50 MB/s
    "far": ("10.77.2.1", "far0"),  # 100 ms there and back, 1 Gbit/s
}


def call(command):
    """Runs a shell command of a set-up; its errors are ours."""
    done = subprocess.run(command, shell=True, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Stage:
    """here/mem, here/disk: the client's files; there/mem, there/disk: what servers serve."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="consign-perf.", dir=os.environ.get("DISK", "/var/tmp"))
        self.processes = []
        self.away = None
        self.buffers = {
            name: call(f"sysctl -n net.ipv4.{name}") for name in ("tcp_rmem", "tcp_wmem")
        }
        os.chmod(self.dir, 0o711)
        for side in "here", "there":
            for kind in "mem", "disk":
                os.makedirs(self.path(side, kind))
            call(f"mount -t tmpfs -o size=100% perf {self.path(side, 'mem')}")
        for kind in "mem", "disk":
            shutil.chown(self.path("there", kind), "nobody")
        call("ip link set lo up")
        self.certificates()

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text, mode=0o600):
        """Writes a configuration, without the blanks that its lines begin with."""
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.writelines(line.lstrip() for line in text.splitlines(keepends=True))
        os.chmod(self.path(name), mode)

    def certificates(self, key="ec -pkeyopt ec_paramgen_curve:P-256", kind=""):
        """caKIND.pem, serverKIND.pem and userKIND.pem with their keys, as files."""
        new = f"cd {self.dir} && umask 077 && openssl req -newkey {key} -nodes"
        call(
            f"{new} -x509 -keyout ca{kind}.key -out ca{kind}.pem -subj /O=perf/CN=ca -days 2"
            " -addext keyUsage=critical,keyCertSign,cRLSign"
        )
        names = ",".join(["DNS:localhost"] + [f"IP:{address}" for address, _ in LINKS.values()])
        for name, use in ("server", "serverAuth"), ("user", "clientAuth"):
            self.write(
                "ext",
                f"""
                keyUsage=critical,digitalSignature,keyEncipherment
                extendedKeyUsage={use}
                subjectAltName={names}
                """,
            )
            call(
                f"{new} -keyout {name}{kind}.key -out csr -subj /O=perf/CN={name}"
                f" && openssl x509 -req -in csr -CA ca{kind}.pem -CAkey ca{kind}.key"
                f" -CAcreateserial -days 1 -extfile ext -out {name}{kind}.pem"
            )

    def start(self, command, name, port=None, link=None, env=None):
        """Starts a daemon (behind link, if any) and waits until it listens on port, if any; its
        words go to NAME.log."""
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(
                self.client(link) + ["sh", "-c", "exec " + command],
                cwd=self.dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
            )
        self.processes.append(process)
        if port:
            self.wait_for(port, name)
        return process.pid

    def wait_for(self, port, name):
        for _ in range(500):
            if f":{port} " in call("ss -Hltn"):
                return
            time.sleep(0.02)
        with open(self.path(name + ".log"), encoding="utf-8", errors="replace") as log:
            raise RuntimeError(f"{name} does not listen: {log.read()[-300:]}")

    def client(self, link):
        """What a client's command starts with to run at the other end of link."""
        if link in (None, "local"):
            return []
        if not self.away:
            self.away = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
            self.processes.append(self.away)
            mine = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{self.away.pid}/ns/net") == mine:
                time.sleep(0.01)
            self.make_links(self.away.pid)
        return ["nsenter", f"--net=/proc/{self.away.pid}/ns/net", "--"]

    def make_links(self, away):
        """slow: a veth pair with token buckets; far: two TAPs joined by delaynet."""
        there = f"nsenter --net=/proc/{away}/ns/net"
        call(f"ip link add slow0 type veth peer name slow1 netns {away}")
        bucket = "root tbf rate 400mbit burst 64kb latency 50ms"
        call(f"tc qdisc add dev slow0 {bucket} && {there} tc qdisc add dev slow1 {bucket}")
        # A wire does not wait for a processor.
        wire = f"chrt -f 1 {BUILD}/t/perf/delaynet {os.getpid()} far0 {away} far1 50 1000 4096"
        self.start(wire, "delaynet")
        for _ in range(100):
            if "far0" in open("/proc/net/dev", encoding="ascii").read():
                break
            time.sleep(0.02)
        for name, net in ("slow", 1), ("far", 2):
            call(f"ip addr add 10.77.{net}.1/24 dev {name}0 && ip link set {name}0 up")
            call(f"{there} ip addr add 10.77.{net}.2/24 dev {name}1")
            call(f"{there} ip link set {name}1 up && {there} ip link set lo up")

    def tune(self, link):
        """Lets TCP's buffers grow to what a long wire holds; on the loopback, to what the system
        has them."""
        for name, value in self.buffers.items():
            if link != "local":
                value = " ".join(value.split()[:2] + [str(64 << 20)])
                call(f"{shlex.join(self.client(link))} sysctl -qw 'net.ipv4.{name}={value}'")
            call(f"sysctl -qw 'net.ipv4.{name}={value}'")

    def wire(self, link):
        """Bytes that crossed link so far, both directions."""
        device = LINKS[link][1]
        with open("/proc/net/dev", encoding="ascii") as f:
            for line in f:
                name, _, numbers = line.partition(":")
                if name.strip() == device:
                    rx, tx = (int(numbers.split()[i]) for i in (0, 8))
                    return rx if device == "lo" else rx + tx
        return 0

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for side in "here", "there":
            subprocess.run(["umount", "-l", self.path(side, "mem")], check=False)
        shutil.rmtree(self.dir)
