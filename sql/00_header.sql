-- order2cash: what CREATE EXTENSION brings.  Assembled by sql/assemble.sh.
\echo Use "CREATE EXTENSION order2cash" to load this file. \quit

