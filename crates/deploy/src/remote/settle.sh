# The script that we no longer hear may not have got as far as its lock yet.
sleep 1
open_lock
until=$(($(date +%s) + settle_seconds))
until flock -n 9; do
  [ "$(date +%s)" -lt "$until" ] || fail "the host has not come to an end of it"
  sleep 1
done
if [ -e "$ended" ]; then
  cat "$ended"
elif [ -d "$part" ]; then
  # It moves this away before it does anything else, and it will not come any more: we have the lock.
  say %5
  say "!nothing was changed"
else
  fail "the host has not come to an end of it"
fi
rm -rf "$part" "$ended"
