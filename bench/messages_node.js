// The same as messages_cnet.lua.
const { fork } = require('node:child_process');

const [kind, count, bytes] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4] ?? 20000000)];
if (kind === 'child') {
  process.on('message', (message) => process.send(message));
} else {
  const child = fork(__filename, ['child']);
  let message;
  if (kind === 'text') {
    message = '0123456789 abcdef '.repeat(bytes / 18);
  } else if (kind === 'records') {
    message = [];
    for (let i = 1; i <= Math.floor(bytes / 96); i++)
      message.push({ id: i, name: 'name of ' + i, price: i / 7, tags: ['one', 'two'], there: true });
  } else {
    message = { id: 100000, name: 'a message of 200 bytes', price: 1 / 3, tags: ['one', 'two'], text: 'x'.repeat(97) };
  }
  let done = 0;
  const finish = () => child.disconnect();
  if (count === 0) finish();
  child.on('message', (back) => {
    if (typeof back !== typeof message || back.length !== message.length) throw new Error('not the same');
    done++;
    if (done === count) finish();
    else if (kind !== 'small') child.send(message);
  });
  if (kind === 'small') {
    for (let i = 0; i < count; i++) child.send(message);
  } else if (count > 0) {
    child.send(message);
  }
}
