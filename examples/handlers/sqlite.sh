#!/bin/sh
# Records into SQLite, each batch in one transaction:
#
#   DATABASE=orders.db kq worker orders --batch 500 --dlq orders.dlq -- examples/handlers/sqlite.sh
#
# It needs sqlite3, 3.40 or later. The table, kq_records, is created if it is not there. Key and value are the
# record's bytes: text, or a blob if they are not UTF-8 or contain a NUL. A null key is a record without a key,
# a null value is a tombstone. A record that comes again, after a crash, replaces its row, so each record has
# one row.
#
# Variable: DATABASE, the file; without it, records.db in the working directory.
#
# Status: 65 if a constraint or a trigger refuses the data (kq then finds the record), 78 if the file or its
# table is not what it should be, 75 for all else, such as a lock that another process holds for 30 s: kq
# tries the batch again.
set -u

# Each line is loaded as it is: the separator of columns is a control character, which JSON escapes. sqlite3 does
# not end with an error if it can't load a line, so the lines are counted.
#
# SQLite ends a text at \u0000. So before the JSON is decoded, it becomes the byte FF, which UTF-8 never has,
# and 00 afterwards. Each pair of backslashes is \u005c by then, so that all that looks like \u0000 is one.
#
# sqlite3 has base64() from 3.41 on only. Here four letters are 24 bits, which are three of the 256 bytes; this
# takes a few milliseconds for a KiB. It is done in pieces, since each substr() may copy the whole text.
said=$(sqlite3 -batch -bail -cmd "create temp table counted (lines check (lines = ${KQ_BATCH_RECORDS:-lines}))" \
  "${DATABASE:-records.db}" '.read /dev/fd/3' 2>&1 3<<'SQL'
.timeout 30000
create temp table batch (line text not null);
.mode ascii
.separator "\001" "\n"
.import --schema temp /dev/stdin batch
insert into counted select count(*) from batch;

begin immediate;
create table if not exists kq_records (
  topic     text    not null,
  partition integer not null,
  offset    integer not null,
  timestamp integer,          -- milliseconds since 1970; null: the record has none
  key       blob,
  value     blob,
  headers   text    not null, -- [["name","value"],...] as kq writes them
  primary key (topic, partition, offset)
);

with
record as (
  select rowid as n, line,
    iif(instr(line, '\u0000'), replace(replace(line, '\\', '\u005c'), '\u0000', x'ff'), line) as json
  from batch
),
base64 as (
  select n, 'key' as field, json_extract(line, '$.key_base64') as text from record
  union all
  select n, 'value', json_extract(line, '$.value_base64') from record
),
alphabet as (
  select cast('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/' as blob) as letters, cast(
      x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f' ||
      x'303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f' ||
      x'606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f' ||
      x'909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf' ||
      x'c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef' ||
      x'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff'
    as blob) as bytes
),
binary as materialized (
  select n, field, substr((
    select cast(group_concat(substr(bytes, bits / 65536 + 1, 1) || substr(bytes, bits / 256 % 256 + 1, 1) ||
      substr(bytes, bits % 256 + 1, 1), '') as blob)
    from (
      select bytes,
        (instr(letters, substr(piece, value, 1)) - 1) * 262144 +
        (instr(letters, substr(piece, value + 1, 1)) - 1) * 4096 +
        max(instr(letters, substr(piece, value + 2, 1)) - 1, 0) * 64 +
        max(instr(letters, substr(piece, value + 3, 1)) - 1, 0) as bits
      from (
        select cast(substr(text, value, 1024) as blob) as piece from generate_series(1, length(text), 1024) limit -1
      ), generate_series(1, length(piece) - 3, 4), alphabet
    )
  ), 1, length(text) / 4 * 3 - length(text) + length(rtrim(text, '='))) as bytes
  from base64 where text is not null
),
decoded as (
  select line, coalesce(json_extract(json, '$.key'), k.bytes) as key,
    coalesce(json_extract(json, '$.value'), v.bytes) as value
  from record
  left join binary as k on k.n = record.n and k.field = 'key'
  left join binary as v on v.n = record.n and v.field = 'value'
)
insert into kq_records (topic, partition, offset, timestamp, key, value, headers)
select json_extract(line, '$.topic'), json_extract(line, '$.partition'), json_extract(line, '$.offset'),
  json_extract(line, '$.timestamp'),
  iif(typeof(key) = 'text' and instr(key, x'ff'), cast(replace(key, x'ff', x'00') as blob), key),
  iif(typeof(value) = 'text' and instr(value, x'ff'), cast(replace(value, x'ff', x'00') as blob), value),
  json_extract(line, '$.headers')
from decoded where true
on conflict (topic, partition, offset) do update set
  timestamp = excluded.timestamp, key = excluded.key, value = excluded.value, headers = excluded.headers;
commit;
SQL
)
status=$?
[ -z "$said" ] || printf '%s\n' "$said" >&2
case $status in 0 | 127) exit "$status" ;; esac # 127: there is no sqlite3.

# The number in brackets is SQLite's result code.
case $said in
*'failed: lines = '*) exit 75 ;;
*'(18)'* | *'(19)'* | *'(20)'*) exit 65 ;;
*'Parse error'* | *'unable to open'* | *'(8)'* | *'(26)'*) exit 78 ;;
*) exit 75 ;;
esac
