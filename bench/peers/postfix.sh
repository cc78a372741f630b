# postfix_start, postfix_stop: an instance that accepts for bench.test and delivers into Maildirs, by itself or over LMTP.
[ "$name" = postfix-dovecot ] && . "$here/dovecot.sh"
postfix_start() {
  local home="$dir/postfix" mail="$dir/mail" transport=virtual
  [ "$name" = postfix-dovecot ] && transport="lmtp:inet:127.0.0.1:$((base + 5 + 24))"
  mkdir -p "$home/conf" "$home/spool" "$home/data" "$mail"; chmod 755 "$home"; chown postfix "$home/data"
  maildirs "$mail"
  {
    cat <<C
compatibility_level = 3.6
queue_directory = $home/spool
data_directory = $home/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.bench.test
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
maillog_file = $home/maillog
maillog_file_prefixes = $home
smtpd_peername_lookup = no
smtpd_recipient_restrictions = reject_unauth_destination, reject_unlisted_recipient
smtpd_relay_restrictions = reject_unauth_destination
default_process_limit = 150
smtpd_client_connection_count_limit = 0
virtual_mailbox_domains = bench.test
virtual_mailbox_maps = hash:$home/conf/vmailbox
virtual_mailbox_base = $mail
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
virtual_transport = $transport
local_transport = error:none
smtp_host_lookup = native
lmtp_host_lookup = native
C
    [ "$name" = postfix-stock ] || echo "in_flow_delay = 0"
  } >"$home/conf/main.cf"
  cat >"$home/conf/master.cf" <<C
127.0.0.1:$((base + 25)) inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
C
  for number in $(seq 0 $((accounts - 1))); do echo "u$number@bench.test u$number/Maildir/"; done >"$home/conf/vmailbox"
  postmap -c "$home/conf" "hash:$home/conf/vmailbox"
  : >"$home/maillog"
  in_group "$group" postfix -c "$home/conf" start >>"$dir/postfix.out" 2>&1 || fail "Postfix did not start: $(tail -3 "$dir/postfix.out")"
  wait_port $((base + 25))
  echo "smtp $((base + 25))"
  echo "maildirs $mail"
}
postfix_stop() {
  postfix -c "$dir/postfix/conf" stop >/dev/null 2>&1
  end_group "$group"
}
