# SPDX-License-Identifier: ISC
"""What each peer is told to do: one shell command for each kind of work. The only place where
command lines stand, consign's among them.

Work:     put, get              one file
          put-tree, get-tree    a folder that the other side does not have
          sync                  a folder that the other side has, upwards
          delta                 a file that the other side has in an older version, upwards
          resume                a file, upwards, after a kill in the middle

Filled in: {here} the file or folder of the client; {there} that of the server as KIND/NAME, {path}
as the server's absolute path; {address}, {link}: the server's, see stage.LINKS; {port}; {dir} the
stage's folder; {fsync} the peer's option for it, when the row wants the data on the disk.
"""
import os

from servers import PORT
from stage import BUILD, LINKS


class Peer:
    def __init__(self, server, commands, fsync="", sync=True, sessions=1.0, hops=1):
        self.server = server  # the function of servers.py, None: needs none
        self.commands = commands
        self.fsync = fsync  # its option to have the data on the disk at its end
        self.sync = sync  # without such an option: a sync follows the command
        self.sessions = sessions  # the part of a row's short sessions that it is asked for
        self.hops = hops  # how often the same bytes pass the loopback

    def command(self, work, stage, link, here, there, durable):
        """The command line, and what it needs is written; None: the peer doesn't do this work."""
        if work not in self.commands:
            return None
        values = {
            "here": here,
            "there": there,
            "path": stage.path("there", there),
            "link": link,
            "address": LINKS[link][0],
            "tunnel": PORT["stunnel"] + 1 + list(LINKS).index(link),
            "port": PORT.get(self.server),
            "dir": stage.dir,
            "build": BUILD,
            "fsync": self.fsync if durable else "",
        }
        line = self.commands[work].format_map(values)
        if "{dir}/pairs" in self.commands[work]:
            write_pairs(stage, work, here, there, LINKS[link][0])
        if durable and self.sync and not self.fsync:
            line += f" && sync -f {here if work.startswith('get') else stage.path('there', there)}"
        return line


def write_pairs(stage, work, here, there, address):
    """curl's configuration: a URL and a file for each file of a tree."""
    url = f"https://{address}:{PORT['nginx']}/{there}"
    top, key = (
        (here, "upload-file") if work == "put-tree" else (stage.path("there", there), "output")
    )
    with open(stage.path("pairs"), "w", encoding="utf-8") as f:
        for folder, _, names in os.walk(top):
            below = os.path.relpath(folder, top)
            for name in names:
                f.write(f'{key} = "{here}/{below}/{name}"\nurl = "{url}/{below}/{name}"\n')


def family(tool, **works):
    """The same tool in front of several kinds of work, whose names take - for _."""
    return {work.replace("_", "-"): f"{tool} {rest}" for work, rest in works.items()}


CONSIGN = "{build}/consign -q -c {dir}/consign.conf"
SCP = "scp -q -F {dir}/ssh.conf"
CURL = (
    "curl -sSf --tls13-ciphers TLS_AES_128_GCM_SHA256 --cacert {dir}/ca.pem"
    " --cert {dir}/user.pem --key {dir}/user.key"
)
NGINX = "https://{address}:{port}/{there}"
SSH_RSYNC = "rsync {fsync} -e 'ssh -F {dir}/ssh.conf'"
TLS_RSYNC = "rsync {fsync}"
TLS_MODULE = "rsync://127.0.0.1:{tunnel}/{there}"
GRIDFTP = (
    "X509_CERT_DIR={dir}/trust X509_USER_CERT={dir}/user-rsa.pem X509_USER_KEY={dir}/user-rsa.key"
    " globus-url-copy -q -dcpriv -s /O=perf/CN=server"
)
GSIFTP = "gsiftp://{address}:{port}{path}"
XRDCP = "X509_CERT_DIR={dir}/trust xrdcp -s -f"
ROOTS = "roots://{address}:{port}/{path}"
RCLONE = (
    "HOME={dir} rclone -q --ca-cert {dir}/ca.pem --client-cert {dir}/user.pem"
    " --client-key {dir}/user.key --webdav-url https://{address}:{port}"
)


def rsync(tool, remote):
    return family(
        tool,
        put="{here} " + remote,
        get=remote + " {here}",
        put_tree="-a {here}/ " + remote + "/",
        get_tree="-a " + remote + "/ {here}/",
        sync="-a {here}/ " + remote + "/",
        put_packed="-z {here} " + remote,
        delta="--no-whole-file -t {here} " + remote,
        resume="--partial --append-verify {here} " + remote,
    )


def gridftp(options):
    return family(
        GRIDFTP + " " + options,
        put="file://{here} " + GSIFTP,
        get=GSIFTP + " file://{here}",
        put_tree="-fast -pp -r -cd file://{here}/ " + GSIFTP + "/",
        get_tree="-fast -pp -r -cd " + GSIFTP + "/ file://{here}/",
    )


PEERS = {
    "consign": Peer(
        "consignd",
        family(
            CONSIGN,
            put="put --whole {here} {link}:/{there}",
            get="get --whole {link}:/{there} {here}",
            put_tree="put -r {here} {link}:/{there}",
            get_tree="get -r {link}:/{there} {here}",
            sync="sync {here} {link}:/{there}",
            put_packed="put --whole --compress on {here} {link}:/{there}",
            put_plain="put --whole --compress off {here} {link}:/{there}",
            delta="put {here} {link}:/{there}",
            resume="put {here} {link}:/{there}",
        ),
        sync=False,
    ),
    "ceiling": Peer(
        None,
        {
            "put": "{build}/t/perf/ceiling pipe {here} {path}",
            "get": "{build}/t/perf/ceiling pipe {path} {here}",
        },
    ),
    "curl": Peer(
        "nginx",
        family(
            CURL,
            put="-T {here} " + NGINX,
            get="-o {here} " + NGINX,
            put_tree="-K {dir}/pairs",
            get_tree="--create-dirs -K {dir}/pairs",
        ),
    ),
    "curl-Z": Peer(
        "nginx",
        family(CURL, put_tree="-Z -K {dir}/pairs", get_tree="-Z --create-dirs -K {dir}/pairs"),
    ),
    "rsync-tls": Peer(
        "rsyncd", rsync(TLS_RSYNC, TLS_MODULE), fsync="--fsync", sessions=0.2, hops=3
    ),
    "rsync-tls-unsynced": Peer("rsyncd", rsync(TLS_RSYNC, TLS_MODULE), sync=False, hops=3),
    "rsync-ssh": Peer("sshd", rsync(SSH_RSYNC, "{address}:{path}"), fsync="--fsync", sessions=0.1),
    "scp": Peer(
        "sshd",
        family(
            SCP,
            put="{here} {address}:{path}",
            get="{address}:{path} {here}",
            put_tree="-r {here} {address}:{path}",
            get_tree="-r {address}:{path} {here}",
            put_packed="-C {here} {address}:{path}",
        ),
        sessions=0.1,
    ),
    "sftp": Peer(
        "sshd",
        {
            "put": "echo put {here} {path} | sftp -q -b - -F {dir}/ssh.conf {address} >/dev/null",
            "get": "echo get {path} {here} | sftp -q -b - -F {dir}/ssh.conf {address} >/dev/null",
        },
    ),
    "gridftp": Peer("gridftp", gridftp(""), sessions=0.1),
    "gridftp-p4": Peer("gridftp", gridftp("-p 4")),
    "xrdcp": Peer(
        "xrootd", family(XRDCP, put="{here} " + ROOTS, get=ROOTS + " {here}"), sessions=0.1
    ),
    "xrdcp-cksum": Peer(
        "xrootd",
        family(
            XRDCP + " --cksum adler32",
            put="{here} " + ROOTS,
            get=ROOTS + " {here}",
        ),
    ),
    "rclone": Peer(
        "rclone",
        family(
            RCLONE,
            put="copyto {here} :webdav:{there}",
            get="copyto :webdav:{there} {here}",
            put_tree="copy {here} :webdav:{there}",
            get_tree="copy :webdav:{there} {here}",
            sync="sync {here} :webdav:{there}",
        ),
        sessions=0.1,
    ),
}
