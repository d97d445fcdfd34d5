-- Run once by PostgreSQL's image, when its data folder is made: the worker gets a role that owns its own database and can
-- do nothing else. In psql's variable the password stands in no list of processes.
\set password `cat /run/secrets/postgres-worker-password`
CREATE ROLE provisioner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE provisioner OWNER provisioner;
REVOKE ALL ON DATABASE provisioner FROM PUBLIC;
