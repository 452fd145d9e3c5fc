#!/bin/sh
# One line for the statistics.
set -eu
amount=$(jq -er .data.object.amount)
logger -t shop-analytics "$HOOKLATCH_EVENT_ID $amount"
