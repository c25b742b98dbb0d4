now=$(current)
set --
for marked in "$root/$name"-*/"$mark"; do
  folder=${marked%/*}
  [ "$folder" != "$root/$now" ] && ours "$folder" "${folder#"$root/$name-"}" && set -- "$@" "$marked"
done
if [ $# -gt 0 ]; then
  ls -t "$@" | tail -n "+$((keep + 1))" | while read -r marked; do rm -rf "${marked%/*}"; done
fi
# What deployments that were killed have left.
find "$root" -maxdepth 1 -name ".proxyd-$name@*" -mmin +120 -exec rm -rf {} +
rm -f "$ended"
