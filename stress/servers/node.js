// The server of the trials on Node: node --expose-gc stress/servers/node.js MODE [SIZE]. See cnet.lua.
'use strict';
const net = require('net');

const mode = process.argv[2], size = Number(process.argv[3] || 0);
const counts = {};
const count = (name, n = 1) => { counts[name] = (counts[name] || 0) + n; };
const bytes = Buffer.from('0123456789abcdef'.repeat(size >> 4));

const echo = (socket) => socket.on('data', (chunk) => { count('bytes', chunk.length); socket.write(chunk); });
const serve = {
  echo,
  full: echo,
  late(socket) {
    const parts = [];
    socket.on('data', (chunk) => parts.push(chunk));
    socket.on('end', () => socket.end(Buffer.concat(parts)));
  },
  big(socket) {
    socket.write(bytes, (err) => count(err ? 'cut' : 'written'));
    socket.end();
    socket.resume();
  },
};

const server = net.createServer({ allowHalfOpen: mode === 'late' }, (socket) => {
  count('accepted');
  socket.on('error', (err) => count('error_' + (err.code || 'other')));
  socket.on('close', () => count('closed'));
  serve[mode](socket);
});
if (mode === 'full') server.maxConnections = size;
server.on('drop', () => count('drop'));
server.on('error', (err) => count('server_error_' + err.code));
server.listen({ port: 0, host: '0.0.0.0', backlog: 4096 }, () => console.log(server.address().port));

process.stdin.on('data', (text) => {
  server.getConnections((_, n) => {
    global.gc();
    counts.open = n;
    console.log(Object.entries(counts).map(([name, value]) => `${name}=${value}`).join(' '));
  });
});
process.stdin.on('end', () => process.exit(0));
