# To be sourced: starts the program that is tested on a free port, for as long as the script runs that sources this.
#
# HALDANE_BIN  the program
# scratch      a folder for what is written
#
# serve ARGUMENT...   starts it with more arguments of `serve`, and sets `url`

serve() {
  "$HALDANE_BIN" serve --listen 127.0.0.1:0 --log-format json "$@" 2>"$scratch/serve.log" &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  url=
  for _ in $(seq 600); do
    url=$(sed -n 's|.*listening on \(http://[0-9.:]*\).*|\1|p' "$scratch/serve.log" | head -n 1)
    if [ -n "$url" ]; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo 'the service did not start; its last words:' >&2
  tail -n 20 "$scratch/serve.log" >&2
  return 1
}
