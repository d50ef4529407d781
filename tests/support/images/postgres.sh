#!/bin/sh
# Makes the database on the first start, from POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB.
set -eu
programs=$(echo /usr/lib/postgresql/*/bin)
[ "$#" -gt 0 ] || set -- postgres
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    "$programs/initdb" --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C --no-sync
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    [ "$POSTGRES_DB" = postgres ] || echo "CREATE DATABASE $POSTGRES_DB" \
        | "$programs/postgres" --single postgres >/dev/null
fi
shift # the word "postgres"
exec "$programs/postgres" -c listen_addresses='*' "$@"
