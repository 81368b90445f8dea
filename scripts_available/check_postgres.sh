#!/bin/sh
# What a PostgreSQL server does (9.6 and later): connections, work of each database, size, locks, replication.
# Tells: postgres_up, postgres_connections with the tag state, postgres_connections_max, with the tag db: postgres_commits, _rollbacks, _blocks_read, _blocks_hit, _rows_returned, _rows_fetched, _rows_inserted, _rows_updated, _rows_deleted, _temp_bytes, _deadlocks (all per second) and postgres_size_bytes; postgres_locks_waiting, postgres_oldest_transaction_seconds, postgres_replicas, postgres_replay_lag_seconds on a standby.
# Needs: psql, and to be let in: run_user = postgres in section [check_postgres.sh] of conf/scripts.ini, or a role with pg_monitor in PGUSER below and its password in ~/.pgpass.
# PGHOST, PGPORT, PGUSER and PGDATABASE say where; without them it is the socket of this machine.
export PGDATABASE="${PGDATABASE:-postgres}" PGCONNECT_TIMEOUT=5 PGAPPNAME=puypuy

answer=$(psql -XAtqw -v ON_ERROR_STOP=1 <<'SQL'
WITH works AS (
    SELECT replace(d.datname, ' ', '_') AS db, s.*, pg_database_size(d.oid) AS bytes
    FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
    WHERE d.datallowconn AND has_database_privilege(d.oid, 'CONNECT')
), clients AS (
    SELECT replace(coalesce(state, 'unknown'), ' ', '_') AS state, count(*) AS number
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datid IS NOT NULL GROUP BY 1
), told(name, value, style, tag) AS (
    SELECT 'connections', number::numeric, 'stack', 'state=' || state FROM clients
    UNION ALL SELECT 'connections_max', current_setting('max_connections')::numeric, 'stack', ''
    UNION ALL SELECT v.name, v.value, v.style, 'db=' || db FROM works, LATERAL (VALUES
        ('commits', xact_commit::numeric, 'rate'), ('rollbacks', xact_rollback, 'rate'),
        ('blocks_read', blks_read, 'rate'), ('blocks_hit', blks_hit, 'rate'),
        ('rows_returned', tup_returned, 'rate'), ('rows_fetched', tup_fetched, 'rate'),
        ('rows_inserted', tup_inserted, 'rate'), ('rows_updated', tup_updated, 'rate'),
        ('rows_deleted', tup_deleted, 'rate'), ('temp_bytes', temp_bytes, 'rate'),
        ('deadlocks', deadlocks, 'rate'), ('size_bytes', bytes, 'stack')) AS v(name, value, style)
    UNION ALL SELECT 'locks_waiting', count(*), 'stack', '' FROM pg_locks WHERE NOT granted
    UNION ALL SELECT 'oldest_transaction_seconds',
        round(coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::numeric, 3), 'stack', ''
        FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    UNION ALL SELECT 'replicas', count(*), 'stack', '' FROM pg_stat_replication
    UNION ALL SELECT 'replay_lag_seconds',
        round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::numeric, 3), 'stack', ''
        WHERE pg_is_in_recovery() AND pg_last_xact_replay_timestamp() IS NOT NULL
)
SELECT 'postgres_' || name || ' ' || value || ' postgres ' || style || ' ' || tag FROM told;
SQL
)
code=$?
case $code in
0) printf '%s\npostgres_up 1 postgres stack\n' "$answer" ;;
# It does not answer, or does not let in.
2) echo "postgres_up 0 postgres stack" ;;
# psql is not there, or a question is not understood: that says nothing of the server.
*) exit $code ;;
esac
