# dovecot_start [OFFSET], dovecot_stop: IMAP, POP3 and LMTP over the Maildirs, ports from BASE + OFFSET on.
dovecot_start() {
  local from=$((base + ${1:-0})) home="$dir/dovecot" mail="$dir/mail" reuse=1 sync=optimized
  case "$name" in dovecot-reused) reuse=0 ;; dovecot-synced) reuse=0 sync=always ;; esac
  mkdir -p "$home/run" "$home/conf" "$mail"; chmod 755 "$home" "$home/run"
  maildirs "$mail"
  [ -e "$home/conf/key.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 30 \
    -keyout "$home/conf/key.pem" -out "$home/conf/cert.pem" 2>/dev/null
  for number in $(seq 0 $((accounts - 1))); do echo "u$number:{PLAIN}secret::::::"; done >"$home/conf/users"
  cat >"$home/conf/dovecot.conf" <<C
base_dir = $home/run
state_dir = $home/run
instance_name = bench
log_path = $home/log
info_log_path = $home/log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <$home/conf/cert.pem
ssl_key = <$home/conf/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:$mail/%n/Maildir
mail_uid = 5000
mail_gid = 5000
first_valid_uid = 100
mail_fsync = $sync
mail_max_userip_connections = 5000
default_vsz_limit = 2G
default_client_limit = 8192
default_process_limit = 4000
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%n $home/conf/users
}
userdb {
  driver = static
  args = uid=5000 gid=5000 home=$mail/%n
}
namespace inbox {
  inbox = yes
}
service imap-login {
  service_count = 0
  process_min_avail = 2
  process_limit = 2000
  client_limit = 4000
  inet_listener imap {
    port = $((from + 143))
  }
  inet_listener imaps {
    port = $((from + 993))
    ssl = yes
  }
}
service pop3-login {
  service_count = 0
  process_min_avail = 2
  process_limit = 2000
  client_limit = 4000
  inet_listener pop3 {
    port = $((from + 110))
  }
  inet_listener pop3s {
    port = $((from + 995))
    ssl = yes
  }
}
service imap {
  process_limit = 3000
  service_count = $reuse
}
service pop3 {
  process_limit = 3000
  service_count = $reuse
}
service anvil {
  client_limit = 16000
}
service auth {
  client_limit = 16000
}
service lmtp {
  process_min_avail = 2
  inet_listener lmtp {
    address = 127.0.0.1
    port = $((from + 24))
  }
}
protocol lmtp {
  postmaster_address = postmaster@bench.test
  auth_username_format = %n
}
lda_mailbox_autocreate = yes
C
  : >"$home/log"
  in_group "$group" dovecot -c "$home/conf/dovecot.conf" >>"$dir/dovecot.out" 2>&1 || fail "Dovecot did not start: $(tail -3 "$dir/dovecot.out")"
  wait_port $((from + 143))
  wait_port $((from + 24))
  [ "$name" = postfix-dovecot ] && return 0
  echo "imap $((from + 143))"; echo "imaps $((from + 993))"; echo "pop3 $((from + 110))"; echo "pop3s $((from + 995))"
  echo "maildirs $mail"
}
dovecot_stop() {
  doveadm -c "$dir/dovecot/conf/dovecot.conf" stop 2>/dev/null
  end_group "$group"
}
