# A sandbox for one finding: its own namespaces for mounts, processes and the network, with a copy-on-write view of this system as its root.
# A finding sources this file and calls `box` with what it needs: PACKAGE=VERSION or, of a library, PACKAGE (Debian), PACKAGE==VERSION (PyPI). What
# follows that call runs inside, as root, and can use every port and path; its processes end with it, and its files are discarded.
# shellcheck shell=bash

# Fetches the packages that are not installed in exactly that version, and runs the finding again, inside.
box() {
    [ -z "${BOXED:-}" ] || return 0
    local package
    if [ -z "${BOX:-}" ]; then
        if [ "$(id -u)" != 0 ]; then
            echo "root is needed, for the namespaces" >&2
            exit 2
        fi
        local status=0
        BOX=$(mktemp -d)
        trap 'rm -r "$BOX"' EXIT
        chmod 755 "$BOX"
        for package in "$@"; do
            if ! fetched "$package" >"$BOX/log" 2>&1; then
                cat "$BOX/log" >&2
                exit 2
            fi
        done
        BOX=$BOX timeout --foreground -k 5 240 unshare --mount --net --pid --fork --kill-child --mount-proc bash "$0" || status=$?
        exit "$status"
    fi
    local layer=$BOX/layer
    mkdir "$layer"
    mount -t tmpfs -o mode=755 box "$layer"
    mkdir "$layer"/{above,work,root}
    mount -t overlay -o "lowerdir=/,upperdir=$layer/above,workdir=$layer/work" box "$layer/root"
    for package in "$BOX"/*.deb; do
        [ ! -e "$package" ] || dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$layer/root"
    done
    mount --rbind /proc "$layer/root/proc"
    mount --rbind /dev "$layer/root/dev"
    mount -t tmpfs -o mode=1777 box "$layer/root/tmp"
    mount -t tmpfs -o mode=755 box "$layer/root/run"
    ip link set lo up
    cp "$0" "$(dirname "$0")"/{box.sh,sink.py} "$layer/root/run/"
    [ ! -e "$BOX/python" ] || cp -r "$BOX/python" "$layer/root/run/python"
    echo "127.0.0.1 here.test localhost" >"$layer/root/etc/hosts"
    echo here.test >"$layer/root/etc/mailname"
    echo "What was used:"
    printf '  %s\n' "$@"
    BOXED=1 PYTHONPATH=/run/python LC_ALL=C.UTF-8 chroot "$layer/root" /usr/bin/env -C /tmp bash "/run/$(basename "$0")"
    exit
}

fetched() {
    if [[ $1 == *==* ]]; then
        /usr/bin/python3 -m pip -q --disable-pip-version-check install --no-compile --target "$BOX/python" "$1"
    elif [[ $(dpkg-query -W -f '${db:Status-Abbrev}=${Version}' "${1%%=*}" 2>/dev/null) != "ii ${1#"${1%%=*}"}"* ]]; then
        (cd "$BOX" && apt-get -q -o APT::Sandbox::User=root download "$1")
    fi
}

# must WHAT SEEN EXPECTED: prints what is seen, and fails if it differs.
must() {
    printf '%-52s %s\n' "$1" "$2"
    if [ "$2" != "$3" ]; then
        echo "CHANGED: expected \"$3\"" >&2
        exit 1
    fi
}

# Waits for at most 20 seconds until a command succeeds.
wait_for() {
    for _ in {1..100}; do
        if "$@" >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.2
    done
    echo "timeout while waiting for: $*" >&2
    exit 2
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1")
}

# A user and a group of that name, as the package's script would make.
user() {
    getent group "$1" >/dev/null || groupadd --system "$1"
    getent passwd "$1" >/dev/null || useradd --system --gid "$1" --home-dir /nonexistent --shell /usr/sbin/nologin "$1"
}

# Serves zone test. on port $1 with the records from standard input; $2 are further lines for the zone's configuration.
knot_starts() {
    mkdir -p /tmp/knot
    cat >/tmp/knot/conf <<END
server:
  listen: 127.0.0.1@$1
  rundir: /tmp/knot
database:
  storage: /tmp/knot
policy:
- id: one
  single-type-signing: on
zone:
- domain: test
  file: /tmp/knot/zone
${2:-}
END
    # shellcheck disable=SC2016 # $TTL is the zone file's
    { printf '$TTL 60\ntest. SOA ns hostmaster 1 60 60 60 60\n NS ns\nns A 127.0.0.1\n'; cat; } >/tmp/knot/zone
    knotd -c /tmp/knot/conf >/tmp/knot/log 2>&1 &
    wait_for listens "$1"
    echo "nameserver 127.0.0.1" >/etc/resolv.conf
}

# Postfix with the parameters from standard input beside those that every finding has; it logs to /tmp/postfix.log.
postfix_starts() {
    user postfix
    user postdrop
    cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
    sed -i -E 's/^(\S+ +(unix|inet) +\S+ +\S+) +y /\1 n /' /etc/postfix/master.cf
    { printf '%s\n' 'compatibility_level = 3.6' 'inet_interfaces = 127.0.0.1' 'inet_protocols = ipv4' 'myhostname = here.test' 'alias_maps =' \
        'mydestination =' 'maillog_file = /dev/stdout' 'maillog_file_prefixes = /dev'; cat; } >/etc/postfix/main.cf
    postfix start-fg >/tmp/postfix.log 2>&1 &
    wait_for listens 25
    wait_for grep -q 'daemon started' /tmp/postfix.log
}

# Configures Exim by what every finding has and the lines from standard input. It spools and logs in /tmp/exim$1.
exim_configured() {
    user Debian-exim
    mkdir -p /etc/exim4 "/tmp/exim${1:-}"
    chown Debian-exim: "/tmp/exim${1:-}"
    {
        printf '%s\n' 'primary_hostname = here.test' "spool_directory = /tmp/exim${1:-}" "log_file_path = /tmp/exim${1:-}/%slog" \
            'tls_advertise_hosts =' 'keep_environment ='
        cat
    } >/etc/exim4/exim4.conf
}

# rspamd as Debian configures it, but with this box's DNS; it takes half a minute to start. Ask it with rspamc -h 127.0.0.1:11333.
rspamd_starts() {
    user _rspamd
    mkdir -p /etc/rspamd/local.d
    install -d -o _rspamd -g _rspamd /var/lib/rspamd /var/log/rspamd /run/rspamd
    echo 'dns { nameserver = ["127.0.0.1"]; }' >/etc/rspamd/local.d/options.inc
    rspamd -f -u _rspamd -g _rspamd >/tmp/rspamd.log 2>&1 &
    until listens 11333 2>/dev/null; do
        sleep 0.5
    done
}

# The far end of SMTP: sink PORT FOLDER [BEGINNING REPLY]...
sink() {
    /usr/bin/python3 /run/sink.py "$@" &
    wait_for listens "$1"
}
