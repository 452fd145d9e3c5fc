#!/bin/sh
# Mails the customer. The order is on stdin; exit 0 is done, 65 is never, all else is tried again.
#
# Its own record is sent/<digest of the key>: locked while a try is at work (the program of a service that was killed lives on, and
# the next try waits for it), and not empty once the mail is handed over. A mail goes out twice only if this program itself dies
# between the two, and then with the same Message-ID.
set -eu
mkdir -p sent
record=sent/$(printf %s "$HOOKLATCH_IDEMPOTENCY_KEY" | sha256sum | cut -c 1-64)
exec 9>>"$record"
flock 9
[ ! -s "$record" ] || exit 0

to=$(jq -er .data.object.email) || { echo "the order names no address" >&2; exit 65; }
sendmail -i -- "$to" <<MAIL
Message-ID: <${record#sent/}@shop.example>
Subject: We have your order

Thank you. It is on its way.
MAIL
date -u +%FT%TZ >&9
