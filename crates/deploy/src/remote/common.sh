set -u
umask 022
mark=.proxyd-package
dir=$root/$name-$version
link=$root/$name
# No name holds an @: what is of web-admin is not of web.
part=$root/.proxyd-$name@$version.$id
lock=$root/.proxyd-$name.lock

ended=$part.ended
why=

say() { printf '%s\n' "$1"; }
fail() { why=$1; say "!$1"; exit 5; }

# Which version the link leads to; nothing without one.
current() { readlink "$link" 2>/dev/null; }

# ours FOLDER VERSION: whether a deployment of this package put it there.
ours() { [ ! -L "$1" ] && [ -f "$1/$mark" ] && [ "$(cat "$1/$mark")" = "$name $2" ]; }

# The lock is the kernel's and ends with the process that holds it, so there is none of a process that
# is gone. Its file stays: whoever removed it would let two in, each with a file of its own. What a
# package starts must not hold it on: descriptor 9 is closed there.
open_lock() { command exec 9>> "$lock" || fail "cannot make $lock"; }
