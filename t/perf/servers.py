# SPDX-License-Identifier: ISC
"""How each server is set up: a function that starts it and returns the pids of what belongs to it,
at the client's end too where that outlives a command. All serve there/mem and there/disk."""
import os
import pwd
import shutil

from stage import BUILD, LINKS, call

PORT = {"consignd": 7411, "sshd": 7422, "nginx": 7443, "rsyncd": 7473, "stunnel": 7474, "gridftp": 7421, "xrootd": 7494, "rclone": 7480}


def consignd(stage):
    stage.write(
        "consignd.conf",
        f"[server]\nlisten = *:{PORT['consignd']}\ncertificate = server.pem\nkey = server.key\n"
        "map = map\naudit = audit.log\n[anchor perf]\nca = ca.pem\ncrl-policy = if-present\n",
    )
    stage.write(
        "map",
        "[user]\nanchor = perf\nsubject = CN=user,O=perf\naccount = nobody\nrights = all\nsessions = 64\n"
        + "".join(f"root /{kind} = {stage.path('there', kind)}\n" for kind in ("mem", "disk")),
    )
    stage.write(
        "consign.conf",
        "".join(
            f"[{link}]\nhost = {address}\nport = {PORT['consignd']}\nca = ca.pem\n"
            "certificate = user.pem\nkey = user.key\n"
            for link, (address, _) in LINKS.items()
        ),
    )
    pid = stage.start(f"{BUILD}/consignd -q -c {stage.path('consignd.conf')}", "consignd")
    stage.wait_for(PORT["consignd"], "consignd")
    return [pid]


def sshd(stage):
    for key in "host", "login":
        call(f"ssh-keygen -q -t ed25519 -N '' -f {stage.path(key)}")
    os.makedirs("/run/sshd", exist_ok=True)
    stage.write(
        "sshd.conf",
        f"Port {PORT['sshd']}\nHostKey {stage.path('host')}\nAuthorizedKeysFile {stage.path('login.pub')}\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
        "MaxStartups 1000\n",
    )
    stage.write(
        "ssh.conf",
        f"Port {PORT['sshd']}\nUser root\nIdentityFile {stage.path('login')}\nCiphers aes128-gcm@openssh.com\n"
        "BatchMode yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n",
    )
    pid = stage.start(f"/usr/sbin/sshd -D -e -f {stage.path('sshd.conf')}", "sshd")
    stage.wait_for(PORT["sshd"], "sshd")
    return [pid]


def nginx(stage):
    folders = "".join(
        f"location /{kind}/ {{ alias {stage.path('there', kind)}/;"
        f" client_body_temp_path {stage.path('there', kind)}/.nginx; }}\n"
        for kind in ("mem", "disk")
    )
    stage.write(
        "nginx.conf",
        f"daemon off; user root; worker_processes auto; error_log stderr; pid {stage.path('nginx.pid')};\n"
        "events {}\nhttp { access_log off; sendfile on; default_type application/octet-stream;\n"
        + "".join(
            f"{module}_temp_path {stage.path(module)};\n" for module in ("proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"server {{ listen {PORT['nginx']} ssl; ssl_certificate {stage.path('server.pem')};\n"
        f"ssl_certificate_key {stage.path('server.key')}; ssl_client_certificate {stage.path('ca.pem')};\n"
        "ssl_verify_client on; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n"
        "keepalive_requests 1000000; client_max_body_size 0; client_body_buffer_size 64k;\n"
        f"dav_methods PUT DELETE; create_full_put_path on;\n{folders}}} }}\n",
    )
    pid = stage.start(f"/usr/sbin/nginx -e stderr -c {stage.path('nginx.conf')}", "nginx")
    stage.wait_for(PORT["nginx"], "nginx")
    return [pid]


def rsyncd(stage):
    """rsync's daemon behind stunnel; for each link another stunnel at the client's end, whose port is
    the server's and one more for each."""
    modules = "".join(f"[{kind}]\npath = {stage.path('there', kind)}\n" for kind in ("mem", "disk"))
    stage.write(
        "rsyncd.conf",
        f"address = 127.0.0.1\nport = {PORT['rsyncd']}\nuse chroot = no\nuid = 0\ngid = 0\nread only = no\n"
        + modules,
    )
    pids = [stage.start(f"rsync --daemon --no-detach --config={stage.path('rsyncd.conf')}", "rsyncd")]
    common = (
        "foreground = yes\npid =\nsyslog = no\ndebug = err\n[rsync]\nsslVersion = TLSv1.3\n"
        f"ciphersuites = TLS_AES_128_GCM_SHA256\nverifyChain = yes\nCAfile = {stage.path('ca.pem')}\n"
    )

    def stunnel(name, who, accept, connect, link=None):
        text = f"{common}cert = {stage.path(who + '.pem')}\nkey = {stage.path(who + '.key')}\n"
        text += f"accept = {accept}\nconnect = {connect}\n" + ("" if who == "server" else "client = yes\n")
        pids.append(stage.start(f"stunnel4 {stage.write(name + '.conf', text)}", name, link))

    stunnel("stunnel", "server", PORT["stunnel"], PORT["rsyncd"])
    for i, (link, (address, _)) in enumerate(LINKS.items(), 1):
        stunnel(f"stunnel-{link}", "user", f"127.0.0.1:{PORT['stunnel'] + i}", f"{address}:{PORT['stunnel']}", link)
    for port in PORT["rsyncd"], PORT["stunnel"], PORT["stunnel"] + 1:
        stage.wait_for(port, "stunnel")
    return pids


def trust(stage):
    """RSA certificates and a folder of the CA as Globus wants them. RSA as the only kind of key that it
    can make proxies of."""
    folder = stage.path("trust")
    if os.path.exists(folder):
        return folder
    os.makedirs(folder)
    stage.certificates("rsa:2048", "-rsa")
    name = call(f"openssl x509 -in {stage.path('ca-rsa.pem')} -noout -subject_hash").strip()
    call(f"cp {stage.path('ca-rsa.pem')} {folder}/{name}.0")
    stage.write(
        f"trust/{name}.signing_policy",
        "access_id_CA X509 '/O=perf/CN=ca'\npos_rights globus CA:sign\ncond_subjects globus '\"*\"'\n",
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
    pid = stage.start(
        f"/usr/sbin/globus-gridftp-server -p {PORT['gridftp']} -allow-root -f -control-interface 0.0.0.0"
        " -allow-disabled-login -log-level ERROR",
        "gridftp",
        env=env,
    )
    stage.wait_for(PORT["gridftp"], "gridftp")
    return [pid]


def xrootd(stage):
    """TLS for all; it serves whoever comes, as the account nobody."""
    for name in "server-rsa.pem", "server-rsa.key":
        trust(stage)
        shutil.copy(stage.path(name), stage.path("x" + name))
        shutil.chown(stage.path("x" + name), "nobody")
    os.makedirs(stage.path("xrootd"))
    shutil.chown(stage.path("xrootd"), "nobody")
    stage.write(
        "xrootd.conf",
        f"xrd.port {PORT['xrootd']}\nxrd.tls {stage.path('xserver-rsa.pem')} {stage.path('xserver-rsa.key')}\n"
        f"xrd.tlsca certdir {trust(stage)}\nxrootd.tls all\nall.export {stage.path('there')}\n"
        f"all.adminpath {stage.path('xrootd')}\nall.pidpath {stage.path('xrootd')}\nxrootd.chksum adler32\n",
        0o644,
    )
    pid = stage.start(f"xrootd -R nobody -c {stage.path('xrootd.conf')}", "xrootd")
    stage.wait_for(PORT["xrootd"], "xrootd")
    return [pid]


def rclone(stage):
    pid = stage.start(
        f"rclone serve webdav {stage.path('there')} --dir-cache-time 0s --addr :{PORT['rclone']} --cert {stage.path('server.pem')}"
        f" --key {stage.path('server.key')} --client-ca {stage.path('ca.pem')}",
        "rclone",
        env={"HOME": stage.dir},
    )
    stage.wait_for(PORT["rclone"], "rclone")
    return [pid]
