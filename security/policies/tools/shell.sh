# Pipes, jobs, substitution and what else is on the image's list.
mkdir /tmp/tools && cd /tmp/tools && echo '{ "a": [1, 2] }' >a.json
python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 & server=$!
curl -sS --noproxy '*' --retry 40 --retry-delay 0 --retry-max-time 10 --retry-connrefused http://127.0.0.1:8123/a.json 2>/dev/null | jq -c .a
kill $server && { wait $server || true; }
rg -c a a.json && tar cJf a.tar.xz a.json && tar tf a.tar.xz && zip -q a.zip a.json && unzip -l a.zip | rg -o 'a.json'
(sleep 0.01 & wait) && diff <(echo 1) <(echo 1) && timeout 1 true && nice true && find . -name '*.zip' -print0 | xargs -0 -n1 basename
mkfifo f && (echo fifo >f &) && cat f && truncate -s 1K g && cp --reflink=auto g h && sync h && stat -c %s h && date -u -d @0 +%Y
