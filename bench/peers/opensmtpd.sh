# opensmtpd_start, opensmtpd_stop. Its paths are built in and its package can't be beside Postfix: the package is unpacked, and runs in a mount namespace in which
# these paths are ours.
opensmtpd_start() {
  local home="$dir/opensmtpd" mail="$dir/mail"
  mkdir -p "$home/root" "$home/spool" "$home/run" "$home/empty" "$mail"
  chmod 755 "$home" "$home/empty"
  if [ ! -x "$home/root/usr/sbin/smtpd" ]; then
    (cd "$home" && apt-get download opensmtpd >/dev/null 2>&1 && dpkg -x opensmtpd_*.deb root) || fail "the package opensmtpd can't be had"
  fi
  maildirs "$mail"
  cp /etc/passwd "$home/passwd"; cp /etc/group "$home/group"
  printf 'opensmtpd:x:5001:5001::%s/empty:/usr/sbin/nologin\nopensmtpq:x:5002:5002::%s/empty:/usr/sbin/nologin\nbench:x:5000:5000::%s:/usr/sbin/nologin\n' "$home" "$home" "$mail" >>"$home/passwd"
  printf 'opensmtpd:x:5001:\nopensmtpq:x:5002:\nbench:x:5000:\n' >>"$home/group"
  for number in $(seq 0 $((accounts - 1))); do echo "u$number@bench.test bench"; done >"$home/users"
  cat >"$home/smtpd.conf" <<C
table users file:$home/users
smtp limit max-mails 1000000
listen on 127.0.0.1 port $((base + 25)) hostname mx.bench.test
action "maildir" maildir "$mail/%{dest.user}/Maildir" virtual <users>
match from any for domain "bench.test" action "maildir"
C
  chown root:root "$home/smtpd.conf"; chmod 644 "$home/smtpd.conf"
  cat >"$home/start" <<C
set -e
mount --make-rprivate /
mount --bind $home/passwd /etc/passwd
mount --bind $home/group /etc/group
mount -t tmpfs tmpfs /usr/libexec
mkdir /usr/libexec/opensmtpd
mount --bind $home/root/usr/libexec/opensmtpd /usr/libexec/opensmtpd
mount --bind $home/spool /var/spool
mkdir -p /var/spool/smtpd
chmod 711 /var/spool/smtpd
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty
exec $home/root/usr/sbin/smtpd -d -f $home/smtpd.conf
C
  in_group "$group" unshare -m sh "$home/start" >>"$dir/log" 2>&1 &
  wait_port $((base + 25))
  echo "smtp $((base + 25))"
  echo "maildirs $mail"
}
opensmtpd_stop() { end_group "$group"; }
