# The script that we no longer hear may not have got as far as its lock yet.
sleep 1
until=$(($(date +%s) + settle_seconds))
while alive "$(holder)"; do
  [ "$(date +%s)" -lt "$until" ] || fail "the host has not come to an end of it"
  sleep 1
done
say "=$(current)"
