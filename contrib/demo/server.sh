#!/bin/sh
# SPDX-License-Identifier: ISC
# Serves the site that `make demo` made, in the foreground, for trying out from another terminal.
set -eu
cd "$(dirname "$0")/../.."
D=$(pwd -P)/build/demo
PORT=${DEMO_PORT:-7411}
if ! test -s "$D/consignd.conf"; then
	echo "run make demo first: it makes the tokens, the certificates and the map" >&2
	exit 1
fi
sed -i "s/^listen .*/listen      = 127.0.0.1:$PORT/" "$D/consignd.conf"
sed -i "s/^port .*/port        = $PORT/" "$D/consign.conf"
cat <<EOF
consignd serves at 127.0.0.1:$PORT until Ctrl-C. In another terminal, from $(pwd -P):
   build/consign --config build/demo/consign.conf put FILE demo:/FILE
EOF
echo $$ >"$D/pid"
exec build/consignd --config "$D/consignd.conf"
