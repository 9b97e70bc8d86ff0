#!/bin/sh
# Records into PostgreSQL, each batch in one transaction:
#
#   kq worker orders --batch 2000 --dlq orders.dlq -- examples/handlers/postgres.sh
#
# It needs psql and a database in UTF8 with this table, to which the user may write:
#
#   create table kq_records (
#     topic     text        not null,
#     partition integer     not null,
#     "offset"  bigint      not null,
#     timestamp timestamptz,          -- null: the record has none
#     key       bytea,                -- null: the record has none
#     value     bytea,                -- null: a tombstone
#     headers   json        not null, -- [["name","value"],...] as kq writes them
#     primary key (topic, partition, "offset")
#   );
#
# Key and value are the record's bytes. A value that is JSON: convert_from(value, 'UTF8')::jsonb.
# A record that comes again, after a crash, replaces its row, so each record has one row.
#
# Variables: TABLE, if the table has another name; PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSFILE, PGSSLMODE
# and the others of libpq.
#
# Status: 65 if the database refuses the data (kq then finds the record), 78 if the table or a right is
# missing, 75 for all else, such as a server that is away: kq tries the batch again.
set -u
export PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT="${PGCONNECT_TIMEOUT:-10}"

# COPY reads each line as CSV of one column: its delimiter and quote are control characters, which JSON escapes.
# No text in PostgreSQL can hold the character \u0000, but bytea can. So before the JSON is decoded, backslashes
# are doubled and \u0000 becomes \000: what is decoded then is bytea's "escape" form. In headers it is undone.
said=$(psql --no-psqlrc --no-password --quiet --single-transaction --file=/dev/fd/3 --set=ON_ERROR_STOP=1 \
  --set=VERBOSITY=verbose --set=table="${TABLE:-kq_records}" 2>&1 3<<'SQL'
select current_setting('server_encoding') <> 'UTF8' as other \gset
\if :other
  do $$ begin raise 'the database is not in UTF8' using errcode = 'undefined_object'; end $$;
\endif

create temporary table batch (line text) on commit drop;
\copy batch from pstdin with (format csv, delimiter e'\x01', quote e'\x02')

insert into :"table" (topic, partition, "offset", timestamp, key, value, headers)
select r.topic, r.partition, r."offset", to_timestamp(r.timestamp / 1000.0),
  coalesce(decode(r.key, 'escape'), decode(r.key_base64, 'base64')),
  coalesce(decode(r.value, 'escape'), decode(r.value_base64, 'base64')),
  replace(replace(r.headers::text, '\\000', '\u0000'), '\u005c\u005c', '\\')::json
from batch,
  json_to_record(replace(replace(line, '\\', '\u005c\u005c'), '\u0000', '\\000')::json) as r (
    topic text, partition integer, "offset" bigint, timestamp bigint,
    key text, key_base64 text, value text, value_base64 text, headers json)
on conflict (topic, partition, "offset") do update set
  timestamp = excluded.timestamp, key = excluded.key, value = excluded.value, headers = excluded.headers;
SQL
)
status=$?
[ -z "$said" ] || printf '%s\n' "$said" >&2
case $status in 0 | 127) exit "$status" ;; esac # 127: there is no psql.

# "psql:/dev/fd/3:4: ERROR:  23514: new row …": the last one is the error's; a lost connection has none.
case $(printf '%s\n' "$said" | sed -n 's/^psql:[^ ]* [^ :]*:  *\([0-9A-Z]\{5\}\):.*/\1/p' | tail -n 1) in
21* | 22* | 23* | 44* | 54000 | P0*) exit 65 ;;
3F* | 42*) exit 78 ;;
*) exit 75 ;;
esac
