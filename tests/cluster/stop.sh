#!/usr/bin/env bash
# Ends the Slurm that tests/cluster/start.sh started in a folder, its jobs first.
#
#     bash tests/cluster/stop.sh FOLDER
set -uo pipefail
folder=$(realpath "$1")
export SLURM_CONF="$folder/slurm.conf"
timeout 10 scancel --quiet --user=root --signal=KILL 2>/dev/null
for daemon in slurmd.pid slurmctld.pid munge/pid; do
  pid=$(cat "$folder/$daemon" 2>/dev/null) || continue
  kill "$pid" 2>/dev/null
  for _ in $(seq 50); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null
done
exit 0
