set -u
umask 022
mark=.proxyd-package
dir=$root/$name-$version
link=$root/$name
part=$root/.proxyd-$name-$version.$id
lock=$root/.proxyd-$name.lock

say() { printf '%s\n' "$1"; }
fail() { say "!$1"; exit 5; }

# Which version the link leads to; nothing without one.
current() { readlink "$link" 2>/dev/null; }

# ours FOLDER VERSION: whether a deployment of this package put it there.
ours() { [ ! -L "$1" ] && [ -f "$1/$mark" ] && [ "$(cat "$1/$mark")" = "$name $2" ]; }

# The lock is a link to the number of the process that holds it: made in one step, or not at all.
holder() { readlink "$lock" 2>/dev/null; }
alive() { [ -n "$1" ] && { kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ]; }; }
