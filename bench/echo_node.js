// The echo server on Node: node bench/echo_node.js [echo|split|pipe]
// Prints the port it listens on. split: answers in pieces of 64 bytes. pipe: socket.pipe(socket).

const net = require('net');

const PIECE = 64;

const modes = {
  echo(socket) { socket.on('data', (chunk) => socket.write(chunk)); },
  split(socket) {
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; at += PIECE) socket.write(chunk.subarray(at, at + PIECE));
    });
  },
  pipe(socket) { socket.pipe(socket); },
};

const serve = modes[process.argv[2] || 'echo'];

const server = net.createServer({ noDelay: true }, (socket) => {
  serve(socket);
  socket.on('error', () => {});
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
