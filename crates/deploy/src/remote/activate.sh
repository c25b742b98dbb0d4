# A connection that breaks must not leave this half done: whoever ends the session, the script goes on
# to its own end. Caught and not ignored, because what is ignored stays so in the service.
trap : HUP INT PIPE TERM

# run FOLDER SCRIPT SECONDS
run() {
  (
    cd "$root/$1" || exit 1
    export PACKAGE_NAME="$name" PACKAGE_VERSION="${1#"$name"-}" PACKAGE_DIR="$root/$1"
    exec timeout -s KILL "$3" "./$2"
  ) >> "$root/$1/.proxyd-log" 2>&1 9>&-
}

# last_words FOLDER: whose they are, and each of them.
last_words() {
  say "<$1"
  tail -n 10 "$root/$1/.proxyd-log" 2>/dev/null | tr -cd '\12\40-\176' | cut -c 1-200 | sed 's/^/>/'
}

# The link changes in one step: there is no moment without it.
point() { ln -s "$1" "$part.link" && mv -fT "$part.link" "$link"; }

# The clock has whole seconds: one more, so that it is never less than was said.
healthy() {
  until=$(($(date +%s) + health_seconds + 1))
  while left=$((until - $(date +%s))); [ "$left" -gt 0 ]; do
    run "$new" "$health" "$left" && return 0
    left=$((until - $(date +%s)))
    [ "$left" -gt 0 ] || break
    sleep "$([ "$interval" -lt "$left" ] && echo "$interval" || echo "$left")"
  done
  return 1
}

# undo WHY FOLDER
undo() {
  words=$(last_words "$2")
  say "$words"
  why=$1
  say "!$why"
  say @rollback
  [ -z "$started" ] || run "$new" scripts/stop.sh "$stop_seconds" || :
  if [ -n "$old" ]; then
    point "$old" && run "$old" scripts/start.sh "$start_seconds" || {
      theirs=$(last_words "$old")
      say "$theirs"
      words="$words
$theirs"
      why="$1; and $old did not start again"
      say "!$why"
      exit 4
    }
  else
    rm -f "$link"
  fi
  rm -rf "$dir"
  exit 3
}

# Whoever no longer hears us finds here how it ended.
words=
trap 'printf "%%%s\n!%s\n%s\n" "$?" "$why" "$words" > "$ended"' EXIT

open_lock
flock -n 9 || fail "another deployment of $name is at work ($lock is locked)"

new=$name-$version
started=
old=$(current)
[ "$old" != "$new" ] || fail "$name $version is there already"
if [ -n "$old" ]; then
  case $old in
    */*) fail "$link leads out of $root" ;;
    "$name"-*) ;;
    *) fail "$link does not lead to a version of $name" ;;
  esac
  # Somebody may have removed it by hand: then there is nothing to stop or to go back to.
  if [ ! -e "$root/$old" ]; then
    old=
  else
    ours "$root/$old" "${old#"$name"-}" || fail "$root/$old was not put there by a deployment of $name"
  fi
fi
if [ -e "$dir" ] || [ -L "$dir" ]; then
  ours "$dir" "$version" && rm -rf "$dir" || fail "cannot replace $dir"
fi
mv -T "$part" "$dir" || fail "cannot make $dir"

if [ -n "$old" ]; then
  say @stop_old
  run "$old" scripts/stop.sh "$stop_seconds" || undo "scripts/stop.sh of $old failed" "$old"
fi
say @switch
point "$new" || undo "cannot change $link" "$new"
say @start
started=yes
run "$new" scripts/start.sh "$start_seconds" || undo "scripts/start.sh of $new failed" "$new"
if [ -n "$health" ]; then
  say @health
  healthy || undo "$health of $new did not succeed within $health_seconds s" "$new"
fi
touch "$dir/$mark"
