#!/usr/bin/env bash
# Starts Slurm on this machine alone, without systemd and cgroups: a controller and one node, their files in a folder.
#
#     bash tests/cluster/start.sh FOLDER
#
# Needs slurm-wlm and munge, as Debian has them, and root. Prints the path of the configuration, which sbatch, srun and
# others take from the variable SLURM_CONF. tests/cluster/stop.sh FOLDER ends it.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "Slurm is started by root alone" >&2; exit 1; }
mkdir -p "$1"
folder=$(realpath "$1")
mkdir -p "$folder"/{state,spool,munge,log}
host=$(hostname -s)

# Munge tells Slurm's programs who calls; its own key and socket, so that a munge of the system is left alone.
chmod 0700 "$folder/munge" && chmod 0755 "$folder"
head -c 1024 /dev/urandom > "$folder/munge/key" && chmod 0400 "$folder/munge/key"
munged --socket="$folder/munge.socket" --key-file="$folder/munge/key" --pid-file="$folder/munge/pid" \
  --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --num-threads=2 --force

port=$((20000 + RANDOM % 10000))
cat > "$folder/slurm.conf" <<CONF
ClusterName=graft
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
ReturnToService=2
KillWait=3
MinJobAge=300
# Eight tasks at a time, whatever the machine has.
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
SlurmdParameters=config_overrides
CONF
export SLURM_CONF="$folder/slurm.conf"
slurmctld -i
slurmd
for _ in $(seq 100); do
  [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && echo "$SLURM_CONF" && exit 0
  sleep 0.1
done
echo "Slurm did not start; see $folder/log" >&2
exit 1
