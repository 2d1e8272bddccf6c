#!/bin/bash
# Postfix as the system has it (Debian's package), with its own configuration, queue and passwords.
# VARIANT=default|tuned|lean|idle  tuned: many processes and connections; lean: what suits few cores better; idle: 1,500 sessions
set -e
C=$PEER_HOME/etc Q=$PEER_HOME/spool
conf() {
  mkdir -p "$C" "$Q" "$PEER_HOME/data" "$PEER_HOME/log" "$PEER_HOME/sasl"; chown postfix "$PEER_HOME/data"; chmod 755 "$PEER_HOME"
  cat >"$C/main.cf" <<X
compatibility_level = 3.6
queue_directory = $Q
data_directory = $PEER_HOME/data
command_directory = /usr/sbin
meta_directory = /etc/postfix
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination =
mynetworks = 127.255.255.255/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = 127.0.0.1
maillog_file_prefixes = /var, $PEER_HOME
maillog_file = $PEER_HOME/log/mail.log
virtual_alias_domains = example.test
virtual_alias_maps = inline:{ {me@example.test = foo@sink.test}, {slow@example.test = foo@slow.test} }
transport_maps = inline:{ {sink.test = smtp:[$SINK_IP]:$SINK_PORT}, {slow.test = smtp:[$SLOW_IP]:$SINK_PORT} }
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_chain_files = $KEY, $CERT
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = $PEER_HOME/sasl
message_size_limit = 52428800
X
  [ "$VARIANT" != tuned ] || cat >>"$C/main.cf" <<X
default_process_limit = 400
in_flow_delay = 0
smtp_destination_concurrency_limit = 50
initial_destination_concurrency = 20
smtp_connection_cache_destinations = sink.test, slow.test
smtp_connection_reuse_time_limit = 600s
qmgr_message_active_limit = 60000
qmgr_message_recipient_limit = 60000
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_tls_session_cache_database = btree:\$data_directory/smtpd_scache
qmgr_clog_warn_time = 0
X
  [ "$VARIANT" != lean ] || cat >>"$C/main.cf" <<X
in_flow_delay = 0
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtp_connection_cache_destinations = sink.test, slow.test
qmgr_message_active_limit = 60000
qmgr_message_recipient_limit = 60000
X
  [ "$VARIANT" != idle ] || cat >>"$C/main.cf" <<X
default_process_limit = 1500
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
X
  cat >"$C/master.cf" <<X
127.0.0.1:$IN_PORT inet n - n - - smtpd
127.0.0.1:$SUB_PORT inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=yes
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
X
  printf 'pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: %s/sasl/db\nmech_list: PLAIN\n' "$PEER_HOME" >"$PEER_HOME/sasl/smtpd.conf"
  [ -f "$PEER_HOME/sasl/db" ] || echo "$AUTH_PASS" | saslpasswd2 -p -c -f "$PEER_HOME/sasl/db" -u example.test user
  chmod 644 "$PEER_HOME/sasl/db"
}
case $1 in
  version) command -v saslpasswd2 >/dev/null; echo "Postfix $(postconf -hd mail_version)" ;;
  start) conf; touch /etc/sasldb2; mount --bind "$PEER_HOME/sasl/db" /etc/sasldb2   # private to this mount namespace
    : >"$PEER_HOME/log/mail.log"; postfix -c "$C" start ;;
  stop) postfix -c "$C" stop ;;
  reset) rm -rf "$Q" "$PEER_HOME/log"; conf; postfix -c "$C" check || true ;;
  flush) postqueue -c "$C" -f ;;
  *) exit 1 ;;
esac
