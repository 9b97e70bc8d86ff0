#!/bin/sh
# Each record to an address, as the body of a POST:
#
#   WEBHOOK_URL=http://localhost:8080/orders kq worker orders -j 16 --dlq orders.dlq -- examples/handlers/webhook.sh
#
# It needs curl. The body is the value; a tombstone has none. The headers are:
#
#   Idempotency-Key     topic/partition/offset: the same if the record comes again, after a crash
#   Kafka-Topic         the topic
#   Kafka-Key           the key, if it is printable ASCII without spaces at its ends
#   Kafka-Key-Base64    any other key; neither is sent for a null key or one of more than 4 KiB
#   Kafka-Value-Null    1 for a tombstone
#
# Variables: WEBHOOK_URL; CONTENT_TYPE, application/json if it is not set. Users, tokens and certificates belong
# in the file .curlrc of CURL_HOME or HOME, which curl reads and ps does not show.
#
# Status: 75 for 408, 425, 429, 5xx and no answer: kq tries again. 78 for a redirection, 401, 403, 404, 405, 407 and
# 410: the address, the login or its rights are wrong, for all records. 65 for any other 4xx: the server does not
# want this record.
set -u
export LC_ALL=C # For [:print:], which is ASCII then.
[ -n "${WEBHOOK_URL-}" ] || {
  echo "WEBHOOK_URL is not set: where the records go, such as http://localhost:8080/orders" >&2
  exit 78
}

set -- --header "Content-Type: ${CONTENT_TYPE:-application/json}" --header "Kafka-Topic: $KQ_RECORD_TOPIC" \
  --header "Idempotency-Key: $KQ_RECORD_ID"
[ -z "${KQ_RECORD_VALUE_NULL-}" ] || set -- "$@" --header 'Kafka-Value-Null: 1'
base64=${KQ_RECORD_KEY_BASE64-}
if [ -n "${KQ_RECORD_KEY_BASE64+set}" ] && [ ${#base64} -le 5464 ]; then
  case ${KQ_RECORD_KEY- } in
  '') set -- "$@" --header 'Kafka-Key;' ;; # An empty header, as curl has it.
  ' '* | *' ' | *[![:print:]]*) set -- "$@" --header "Kafka-Key-Base64: $base64" ;;
  *) set -- "$@" --header "Kafka-Key: $KQ_RECORD_KEY" ;;
  esac
fi

# "Expect:" so that curl does not wait for a server to say that it may send.
answer=$(curl --silent --show-error --connect-timeout 10 --max-time 60 --header 'Expect:' "$@" --data-binary @- \
  --write-out '\n%{http_code}' "$WEBHOOK_URL")
case $? in
0) ;;
1 | 2 | 3 | 26 | 58 | 60 | 77 | 127) exit 78 ;; # No curl, or an address or a certificate that it can't use.
*) exit 75 ;;
esac
status=${answer##*
}
case $status in
2??) exit 0 ;;
408 | 425 | 429 | 5??) code=75 ;;
3?? | 401 | 403 | 404 | 405 | 407 | 410) code=78 ;;
*) code=65 ;;
esac
# A dead letter keeps the end of stderr.
printf '%s: status %s: %.1000s\n' "$WEBHOOK_URL" "$status" "${answer%
*}" >&2
exit $code
