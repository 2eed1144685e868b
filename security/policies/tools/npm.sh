# Packing, installing from a file, running a script. The image has no npm; a group's workspace may.
npm() { node /workspace/npm/bin/npm-cli.js --offline --no-audit --no-fund --cache /tmp/npm/cache "$@"; }
mkdir -p /tmp/npm/part /tmp/npm/whole && cd /tmp/npm/part
echo '{ "name": "part", "version": "1.0.0", "main": "main.js" }' >package.json && echo 'module.exports = "installed"' >main.js
npm pack --silent >/dev/null && cd ../whole
echo 'console.log(require("part"))' >say.js
echo '{ "name": "whole", "version": "1.0.0", "scripts": { "say": "node say.js" } }' >package.json
npm install --silent ../part/part-1.0.0.tgz >/dev/null && npm run --silent say
