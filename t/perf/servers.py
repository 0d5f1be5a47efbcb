# SPDX-License-Identifier: ISC
"""How each server is set up: a function that starts it and returns the pids of what belongs to it,
at the client's end too where that outlives a command. All serve there/mem and there/disk."""
import os
import pwd
import shutil

from stage import BUILD, LINKS, call

PORT = {
    "consignd": 7411,
    "consignd_token": 7412,
    "consignd_tickets": 7413,
    "gridftp": 7421,
    "sshd": 7422,
    "nginx": 7443,
    "rsyncd": 7473,
    "stunnel": 7474,  # and the ones behind it: the client's end for each link
    "rclone": 7480,
    "xrootd": 7494,
}


def configure(stage, name, key):
    """NAME.conf; key: the lines that say where the key is."""
    stage.write(
        f"{name}.conf",
        f"""
        [server]
        listen = *:{PORT[name]}
        certificate = server.pem
        {key}
        map = map
        audit = {name}.audit
        [anchor perf]
        ca = ca.pem
        crl-policy = if-present
        """,
    )


def consignd(stage):
    configure(stage, "consignd", "key = server.key")
    stage.write(
        "map",
        f"""
        [user]
        anchor = perf
        subject = CN=user,O=perf
        account = nobody
        rights = all
        sessions = 64
        root /mem = {stage.path('there', 'mem')}
        root /disk = {stage.path('there', 'disk')}
        """,
    )
    profile = """
        [{}]
        host = {}
        port = {}
        ca = ca.pem
        certificate = user.pem
        key = user.key
        """
    profiles = [profile.format(link, LINKS[link][0], PORT["consignd"]) for link in LINKS]
    stage.write("consign.conf", "".join(profiles))
    return [stage.start(f"{BUILD}/consignd -q -c consignd.conf", "consignd", PORT["consignd"])]


SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
TOKEN_KEY = "pkcs11:token=perf;object=server;type=private"


def consignd_token(stage):
    """The same with the same key in a SoftHSM; after consignd, whose map it has."""
    os.makedirs(stage.path("softhsm"))
    stage.write("softhsm.conf", f"directories.tokendir = {stage.path('softhsm')}\n")
    stage.write("pin", "2468\n")
    env = f"SOFTHSM2_CONF={stage.path('softhsm.conf')}"
    os.environ["SOFTHSM2_CONF"] = stage.path("softhsm.conf")
    call("softhsm2-util --init-token --free --label perf --pin 2468 --so-pin 13579")
    call(
        f"softhsm2-util --import {stage.path('server.key')} --token perf --label server --id 01"
        " --pin 2468"
    )
    configure(
        stage,
        "consignd_token",
        f"""key = {TOKEN_KEY}
        module = {SOFTHSM}
        module-env = {env}
        pin = pin
        """,
    )
    command = f"{BUILD}/consignd -q -c consignd_token.conf"
    return [stage.start(command, "consignd_token", PORT["consignd_token"])]


def consignd_tickets(stage):
    """The same with tickets; after consignd_token, whose token it has."""
    configure(
        stage,
        "consignd_tickets",
        f"""key = {TOKEN_KEY}
        module = {SOFTHSM}
        module-env = SOFTHSM2_CONF={stage.path('softhsm.conf')}
        pin = pin
        tickets = yes
        """,
    )
    command = f"{BUILD}/consignd -q -c consignd_tickets.conf"
    return [stage.start(command, "consignd_tickets", PORT["consignd_tickets"])]


def sshd(stage):
    for key in "host", "login":
        call(f"ssh-keygen -q -t ed25519 -N '' -f {stage.path(key)}")
    os.makedirs("/run/sshd", exist_ok=True)
    stage.write(
        "sshd.conf",
        f"""
        Port {PORT['sshd']}
        HostKey {stage.path('host')}
        AuthorizedKeysFile {stage.path('login.pub')}
        StrictModes no
        UsePAM no
        PidFile none
        PermitRootLogin yes
        MaxStartups 1000
        Subsystem sftp internal-sftp
        """,
    )
    stage.write(
        "ssh.conf",
        f"""
        Port {PORT['sshd']}
        User root
        IdentityFile {stage.path('login')}
        Ciphers aes128-gcm@openssh.com
        BatchMode yes
        StrictHostKeyChecking no
        UserKnownHostsFile /dev/null
        LogLevel ERROR
        """,
    )
    return [stage.start(f"/usr/sbin/sshd -D -e -f {stage.path('sshd.conf')}", "sshd", PORT["sshd"])]


def nginx(stage):
    folder = """
        location /{0}/ {{
            alias {1}/;
            client_body_temp_path {1}/.nginx;
        }}
        """
    folders = "".join(folder.format(kind, stage.path("there", kind)) for kind in ("mem", "disk"))
    unused = "".join(
        f"{name}_temp_path {stage.path(name)};\n" for name in ("proxy", "fastcgi", "uwsgi", "scgi")
    )
    stage.write(
        "nginx.conf",
        f"""
        daemon off;
        user root;
        worker_processes auto;
        error_log stderr;
        pid {stage.path('nginx.pid')};
        events {{}}
        http {{
            access_log off;
            sendfile on;
            keepalive_requests 1000000;
            client_max_body_size 0;
            client_body_buffer_size 64k;
            dav_methods PUT;
            create_full_put_path on;
            {unused}
            server {{
                listen {PORT['nginx']} ssl;
                ssl_certificate server.pem;
                ssl_certificate_key server.key;
                ssl_client_certificate ca.pem;
                ssl_verify_client on;
                ssl_protocols TLSv1.3;
                ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
                {folders}
            }}
        }}
        """,
    )
    command = f"/usr/sbin/nginx -e stderr -c {stage.path('nginx.conf')}"
    return [stage.start(command, "nginx", PORT["nginx"])]


def rsyncd(stage):
    """rsync's daemon behind stunnel, and another stunnel at the client's end of each link."""
    stage.write(
        "rsyncd.conf",
        f"""
        address = 127.0.0.1
        port = {PORT['rsyncd']}
        use chroot = no
        uid = 0
        gid = 0
        read only = no
        [mem]
        path = {stage.path('there', 'mem')}
        [disk]
        path = {stage.path('there', 'disk')}
        """,
    )

    def stunnel(name, who, ends, link=None):
        stage.write(
            f"{name}.conf",
            f"""
            foreground = yes
            pid =
            syslog = no
            debug = err
            [rsync]
            client = {'no' if who == 'server' else 'yes'}
            accept = {ends[0]}
            connect = {ends[1]}
            cert = {who}.pem
            key = {who}.key
            CAfile = ca.pem
            verifyChain = yes
            sslVersion = TLSv1.3
            ciphersuites = TLS_AES_128_GCM_SHA256
            """,
        )
        port = None if link else PORT["stunnel"]
        return stage.start(f"stunnel4 {stage.path(name)}.conf", name, port, link)

    daemon = f"rsync --daemon --no-detach --config={stage.path('rsyncd.conf')}"
    pids = [
        stage.start(daemon, "rsyncd", PORT["rsyncd"]),
        stunnel("stunnel", "server", (PORT["stunnel"], PORT["rsyncd"])),
    ]
    for i, (link, (address, _)) in enumerate(LINKS.items(), 1):
        ends = f"127.0.0.1:{PORT['stunnel'] + i}", f"{address}:{PORT['stunnel']}"
        pids.append(stunnel(f"stunnel-{link}", "user", ends, link))
    stage.wait_for(PORT["stunnel"] + 1, "stunnel-local")
    return pids


def trust(stage):
    """RSA certificates, the only kind that Globus can make proxies of, and a folder of their CA as
    it wants it. Returns the folder."""
    folder = stage.path("trust")
    if not os.path.exists(folder):
        os.makedirs(folder)
        stage.certificates("rsa:2048", "-rsa")
        ca = stage.path("ca-rsa.pem")
        name = call(f"openssl x509 -in {ca} -noout -subject_hash").strip()
        shutil.copy(ca, f"{folder}/{name}.0")
        stage.write(
            f"trust/{name}.signing_policy",
            """
            access_id_CA X509 '/O=perf/CN=ca'
            pos_rights globus CA:sign
            cond_subjects globus '"*"'
            """,
        )
    return folder


def gridftp(stage):
    stage.write("gridmap", f'"/O=perf/CN=user" {pwd.getpwuid(0).pw_name}\n')
    env = {
        "X509_CERT_DIR": trust(stage),
        "X509_USER_CERT": stage.path("server-rsa.pem"),
        "X509_USER_KEY": stage.path("server-rsa.key"),
        "GRIDMAP": stage.path("gridmap"),
    }
    command = (
        f"globus-gridftp-server -p {PORT['gridftp']} -f -control-interface 0.0.0.0"
        " -allow-root -allow-disabled-login -log-level ERROR"
    )
    return [stage.start(command, "gridftp", PORT["gridftp"], env=env)]


def xrootd(stage):
    """TLS for all that crosses; it serves whoever comes, as the account nobody."""
    folder = trust(stage)
    own = stage.path("xrootd")
    os.makedirs(own)
    for path in "server-rsa.pem", "server-rsa.key":
        shutil.copy(stage.path(path), own)
        shutil.chown(f"{own}/{path}", "nobody")
    shutil.chown(own, "nobody")
    stage.write(
        "xrootd.conf",
        f"""
        xrd.port {PORT['xrootd']}
        xrd.tls {own}/server-rsa.pem {own}/server-rsa.key
        xrd.tlsca certdir {folder}
        xrootd.tls all
        xrootd.chksum adler32
        all.export {stage.path('there')}
        all.adminpath {own}
        all.pidpath {own}
        """,
        0o644,
    )
    command = f"xrootd -R nobody -c {stage.path('xrootd.conf')}"
    return [stage.start(command, "xrootd", PORT["xrootd"])]


def rclone(stage):
    """Nothing cached: files are removed behind its back."""
    command = (
        f"rclone serve webdav {stage.path('there')} --addr :{PORT['rclone']} --dir-cache-time 0s"
        " --cert server.pem --key server.key --client-ca ca.pem"
    )
    return [stage.start(command, "rclone", PORT["rclone"], env={"HOME": stage.dir})]
