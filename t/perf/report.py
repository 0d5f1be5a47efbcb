# SPDX-License-Identifier: ISC
"""The table, as text, as JSON lines and as a plot for each row."""
import glob
import json
import os
import platform
import statistics
import subprocess
import time

from stage import BUILD

MIB = 1 << 20
HEAD = (
    f"{'work':<16}{'peer':<20}{'median':>9} {'(min-max)':<17}{'consign':>8} {'aim':<6}"
    f"{'wire MiB':>10}{'of need':>9}{'CPU s':>8}{'client':>8}{'server':>7}{'calls':>8}"
)
LEGEND = """\
median    of {rounds} rounds, in the unit of the row's first line; in each round all take turns
consign   how many times the peer's figure consign's is; aim: at least so many are aimed at
wire      bytes that crossed, both directions, headers included; of need: beside what had to cross
CPU s     of both ends, for a GiB or for 1000 files or sessions
client, server   MiB resident in the largest process of each end
calls     system calls of both ends, for a MiB or for a file or session
"""


class Table:
    """The results of one row: amount units of work in each run."""

    def __init__(self, name, amount, unit, aims):
        self.name, self.amount, self.unit, self.aims = name, amount, unit, aims
        self.need = amount if unit == "MiB/s" else 0  # bytes that have to cross, 0: not known
        self.runs = {}  # peer: results of the rounds that count
        self.detail = {}  # peer: the result of the one that doesn't
        self.failed = {}  # peer: why it is not in the table

    def add(self, peer, round_, result, share=1.0):
        """share: the part of the amount that the peer was asked for."""
        result = {**result, "share": share}
        if round_:
            self.runs.setdefault(peer, []).append(result)
        else:
            self.detail[peer] = result

    def fail(self, peer, why):
        self.failed[peer] = str(why)
        self.runs.pop(peer, None)

    def rates(self, peer):
        work = self.amount / MIB if self.unit == "MiB/s" else self.amount
        return sorted(work * run["share"] / run["seconds"] for run in self.runs[peer])

    def figures(self, peer):
        """One line of the table, as numbers."""
        runs, detail, rates = self.runs[peer], self.detail.get(peer, {}), self.rates(peer)
        bulk = self.unit == "MiB/s"
        amount = self.amount * runs[0]["share"]
        wire = statistics.median(run["wire"] for run in runs)
        need = statistics.median(run.get("missing", self.need) for run in runs)
        cpu = statistics.median(run["cpu"] for run in runs)
        memory, calls = detail.get("memory", {}), detail.get("calls")
        median = statistics.median(rates)
        mine = statistics.median(self.rates("consign")) if "consign" in self.runs else None
        return {
            "row": self.name,
            "peer": peer,
            "unit": self.unit,
            "median": median,
            "min": rates[0],
            "max": rates[-1],
            "ratio": mine / median if mine else None,
            "aim": self.aims.get(peer),
            "wire": wire,
            "wire_of_need": wire / need if need else None,
            "cpu": cpu / amount * ((1 << 30) if bulk else 1000),
            "client": memory.get("client"),
            "server": memory.get("server"),
            "calls": calls / amount * (MIB if bulk else 1) if calls else None,
            "seconds": [run["seconds"] for run in runs],
        }


def line(f):
    def show(value, form, scale=1):
        return format(value / scale, form) if value is not None else "-"

    digits = 0 if f["median"] >= 100 else 1 if f["median"] >= 10 else 2
    spread = f"({f['min']:.{digits}f}-{f['max']:.{digits}f})"
    ratio = show(f["ratio"], ".2f") if f["peer"] != "consign" else ""
    return (
        f"{'':<16}{f['peer']:<20}{f['median']:>9.{digits}f} {spread:<17}{ratio:>8} "
        f"{show(f['aim'], '.2f') if f['aim'] else '':<6}{show(f['wire'], '.1f', MIB):>10}"
        f"{show(f['wire_of_need'], '.3f'):>9}{show(f['cpu'], '.2f' if f['cpu'] >= 0.1 else '.4f'):>8}"
        f"{show(f['client'], '.0f', MIB):>8}{show(f['server'], '.0f', MIB):>7}"
        f"{show(f['calls'], '.1f'):>8}"
    )


class Report:
    """Says and keeps each row as it comes."""

    def __init__(self, bench):
        self.dir = os.path.join(BUILD, "perf")
        os.makedirs(self.dir, exist_ok=True)
        for plot in glob.glob(os.path.join(self.dir, "*.svg")):  # of another run
            os.remove(plot)
        self.text = open(os.path.join(self.dir, "table.txt"), "w", encoding="utf-8")
        self.json = open(os.path.join(self.dir, "results.jsonl"), "w", encoding="utf-8")
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next((l.split(": ")[1].strip() for l in f if l.startswith("model name")), "?")
        sizes = f"SIZE={bench.size} FILES={bench.files} TREE={bench.tree} SESSIONS={bench.sessions}"
        self.say(
            f"# {time.strftime('%F')}, {os.cpu_count()} processors ({model}), Linux"
            f" {platform.release()}; both ends on this machine\n# {sizes} ROUNDS={bench.count},"
            f" load before {os.getloadavg()[0]:.1f}"
        )
        self.say(HEAD)
        self.rounds = bench.count

    def say(self, text):
        print(text, flush=True)
        print(text, file=self.text, flush=True)

    def table(self, table):
        self.say(f"{table.name}, {table.unit}")
        figures = [table.figures(peer) for peer in table.runs]
        for f in figures:
            self.say(line(f))
            print(json.dumps(f), file=self.json, flush=True)
        for peer, why in table.failed.items():
            self.say(f"{'':<16}{peer:<20}  left out: {why[:120]}")
        if figures:
            self.plot(table, figures)

    def plot(self, table, figures):
        """Bars with the spread."""
        path = os.path.join(
            self.dir, table.name.replace(" ", "-").replace("(", "").replace(")", "") + ".svg"
        )

        def colour(peer):
            return 0x2060A0 if peer.startswith("consign") else 0xA0A0A0

        data = "\n".join(
            f'"{f["peer"]}" {f["median"]} {f["min"]} {f["max"]} {colour(f["peer"])}'
            for f in figures
        )
        script = f"""
            set terminal svg size {140 + 90 * len(figures)},360 font "sans,11" background "white"
            set output "{path}"
            set title "{table.name}" noenhanced
            set ylabel "{table.unit}"
            set yrange [0:*]
            set xtics rotate by -25 noenhanced
            set grid ytics
            set style fill solid 0.6
            set boxwidth 0.7
            unset key
            set pointintervalbox 0
            $data << EOD
{data}
EOD
            plot $data using 0:2:5:xtic(1) with boxes lc rgb variable, \\
                 $data using 0:2:3:4 with yerrorbars lc rgb "black" pt 0
        """
        subprocess.run(["gnuplot"], input=script, text=True, check=False)

    def close(self):
        self.say(LEGEND.format(rounds=self.rounds))
        self.text.close()
        self.json.close()
