[ "$(wc -c < "$part.tar.gz")" -eq "$bytes" ] || fail "the upload is not whole"
mkdir "$part" && tar -xzof "$part.tar.gz" -C "$part" && printf '%s\n' "$name $version" > "$part/$mark" ||
  fail "cannot unpack into $root; is the disk full?"
rm -f "$part.tar.gz"
