#!/usr/bin/env bash
# Fetches the compiler, and Deck's types out of its package. Its dependencies, a whole web page of them, are left alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
version=2.3.0
npm ci --silent
if [ ! -f "deck/$version" ]; then
  rm -rf deck && mkdir deck
  archive=deck/$(npm pack --silent --pack-destination deck "@spinnaker/kayenta@$version")
  digest=$(node -e 'const f = require("fs").readFileSync(process.argv[1]); console.log(require("crypto").createHash("sha512").update(f).digest("base64"))' "$archive")
  if [ "$digest" != "$(cat deck.sha512)" ]; then
    echo "the package of @spinnaker/kayenta $version is not the one that was checked: $digest" >&2
    exit 1
  fi
  tar xzf "$archive" -C deck --strip-components 1 package/build/dist/kayenta/domain
  rm "$archive"
  touch "deck/$version"
fi
