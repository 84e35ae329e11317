#!/bin/sh
# The last step of every image: finish.sh [base].
set -eu
if [ "${SESSION_TRUST:-1}" != 1 ]; then
  rm -rf /usr/local/share/ca-certificates/dynamic-sessions
  update-ca-certificates --fresh >/dev/null
fi
# What /metadata answers is read off once, here; not for the base, whose users add kernels and packages.
if [ "${1:-}" != base ]; then
  /app/proxy/bin/python -I -m interpreter_proxy.metadata >/app/metadata.json
fi
