#!/bin/sh
# Installs the JavaScript kernel (npm's ijavascript) for the calling user. Its ZeroMQ binding is built
# against the system's library: npm_config_zmq_external=true, set by the image.
set -eu
npm install -g --no-audit --loglevel=error ijavascript
ijsinstall --spec-path=full
npm cache clean --force >/dev/null 2>&1
