for command in tar gzip flock timeout readlink tail find $commands; do
  command -v "$command" >/dev/null 2>&1 || fail "the host has no $command"
done
for library in $libraries; do
  { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -qF -- "$library" && continue
  ls -d /lib/"$library"* /usr/lib/"$library"* /usr/local/lib/"$library"* 2>/dev/null | grep -q . ||
    fail "the host has no $library"
done
[ -d "$root" ] && [ -w "$root" ] || fail "$root is no folder that $(id -un) may write to"
[ -L "$link" ] || [ ! -e "$link" ] || fail "$link is there and was not put there by a deployment"
if [ -e "$dir" ] || [ -L "$dir" ]; then
  ours "$dir" "$version" || fail "$dir is there and was not put there by a deployment of $name $version"
  [ "$(current)" != "$name-$version" ] ||
    fail "$name $version is there already: what changed needs another version"
fi
