rm -rf "$part" "$part.tar.gz" "$ended"
