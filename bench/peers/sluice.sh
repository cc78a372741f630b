# sluice_start, sluice_stop: every role in one process, checks of mail off.
sluice_start() {
  local program=${SLUICE:?the path of sluice}
  cat >"$dir/sluice.toml" <<C
[filters.authentication]
enabled = false
[log]
level = "warn"
# All clients are on one address here.
[access.imap]
connections_per_address_max = 20000
[access.pop3]
connections_per_address_max = 20000
[gateway.limits]
connections_per_address_max = 20000
C
  "$program" config show --data "$dir/data" --config "$dir/sluice.toml" >/dev/null || fail "the configuration has faults"
  in_group "$group" "$program" up --data "$dir/data" --config "$dir/sluice.toml" --port-base "$base" >"$dir/log" 2>&1 &
  echo $! >"$dir/pid"
  wait_port $((base + 143))
  if [ ! -e "$dir/populated" ]; then
    seq -f "u%.0f@bench.test" 0 $((accounts - 1)) >"$dir/accounts"
    echo secret | "$program" account import "$dir/accounts" --data "$dir/data" --config "$dir/sluice.toml" >/dev/null || fail "no accounts"
    touch "$dir/populated"
  fi
  echo "smtp $((base + 25))"
  echo "imap $((base + 143))"; echo "imaps $((base + 993))"; echo "pop3 $((base + 110))"; echo "pop3s $((base + 995))"
  echo "maildirs $dir/data/mail"
}
sluice_stop() { end_group "$group"; }
