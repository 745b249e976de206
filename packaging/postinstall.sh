#!/bin/sh
# Creates the account the service runs under. Starts nothing.
set -e
if ! getent passwd evcs >/dev/null; then
  useradd --system --home-dir /var/lib/evcs --shell /usr/sbin/nologin evcs
fi
install -d -o evcs -g evcs -m 0750 /var/lib/evcs
if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
