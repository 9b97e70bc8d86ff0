#!/bin/sh
# Records into Elasticsearch, OpenSearch or another server that has their _bulk, each batch in one request:
#
#   BULK_URL=http://localhost:9200 kq worker orders --batch 1000 --dlq orders.dlq -- examples/handlers/bulk.sh
#
# It needs curl and jq. Each value is a document, as it is, so it must be a JSON object. The document's id is
# topic-partition-offset, so a record that comes again, after a crash, replaces its document. A tombstone is
# left out: its own id has no document to delete.
#
# Variables: BULK_URL; BULK_INDEX, if the index does not have the topic's name. Users, headers and certificates
# belong in the file .curlrc of CURL_HOME or HOME, which curl reads and ps does not show.
#
# Status: 75 if a document or the request gets 429 or 5xx, or there is no answer: kq tries the batch again. 65 if
# a value is no JSON object, a document is refused, or the request is too large: kq halves the batch until it has
# found the record. 78 if the address or the login is wrong.
set -u
[ -n "${BULK_URL-}" ] || {
  echo "BULK_URL is not set: where the server is, such as http://localhost:9200" >&2
  exit 78
}

# The value is not written anew: jq would round its large numbers. A newline between the tokens of JSON may be a
# space, and within a string there is none.
body=$(jq --raw-output --arg index "${BULK_INDEX:-}" '
  "\(.topic)-\(.partition)-\(.offset)" as $id
  | if has("value") and .value == null then empty
    elif (try (.value | fromjson | type) catch null) == "object" then
      ({index: {_index: (if $index == "" then .topic else $index end), _id: $id}} | tojson),
      (.value | split("\n") | join(" "))
    else "\($id): the value is no JSON object\n" | halt_error(65)
    end') || exit
[ -n "$body" ] || exit 0

# "Expect:" so that curl does not wait for a server to say that it may send.
answer=$(printf '%s\n' "$body" | curl --silent --show-error --connect-timeout 10 --max-time 60 \
  --header 'Content-Type: application/x-ndjson' --header 'Expect:' --data-binary @- --write-out '\n%{http_code}' \
  "${BULK_URL%/}/_bulk?filter_path=items.*._id,items.*.status,items.*.error")
case $? in
0) ;;
1 | 2 | 3 | 26 | 58 | 60 | 77 | 127) exit 78 ;; # No curl, or an address or a certificate that it can't use.
*) exit 75 ;;
esac
status=${answer##*
}
answer=${answer%
*}
case $status in
2??) code=0 ;;
400 | 413) code=65 ;;
408 | 425 | 429 | 5??) code=75 ;;
*) code=78 ;;
esac
[ "$code" = 0 ] || {
  printf '%s: status %s: %.1000s\n' "$BULK_URL" "$status" "$answer" >&2
  exit $code
}

# Each document has a status of its own, and all of them must be there.
printf '%s\n' "$answer" | jq --raw-output --argjson sent "$(($(printf '%s\n' "$body" | wc -l) / 2))" '
  [.items[]?[]] as $items
  | [$items[] | select(.status >= 300)] as $failed
  | if ($items | length) != $sent then
      "an answer for \($items | length) of \($sent) documents\n" | halt_error(75)
    elif $failed == [] then empty
    else
      ($failed[:3] | map("\(._id): status \(.status): \(.error | tojson | .[:300])\n") | add)
      | halt_error(if any($failed[].status; . >= 500 or IN(401, 403, 404, 408, 429)) then 75 else 65 end)
    end'
status=$?
# jq itself ends with 2 or 5 if the answer is not JSON.
case $status in
0 | 65 | 75) exit $status ;;
*) exit 75 ;;
esac
