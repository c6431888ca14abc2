#!/usr/bin/env bash
# A SLURM cluster of two nodes, n1 and n2, on this computer, for tests: scripts/slurm_local.sh up|down.
#   apt-get install slurm-wlm munge        # Debian's packages; run as root
#   eval "$(scripts/slurm_local.sh up)"    # starts it, and sets SLURM_CONF in this shell
#   scripts/slurm_local.sh down            # stops it, and removes its folder
# $SLURM_LOCAL is the folder (default /tmp/slurm-local), $SLURM_LOCAL_CPUS the CPUs of a node (default 1). The daemons
# listen on the loopback interface. There is no accounting (no sacct), as on many small clusters.
set -euo pipefail
dir=${SLURM_LOCAL:-/tmp/slurm-local}
cpus=${SLURM_LOCAL_CPUS:-1}
host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf

stop() {  # the processes whose ids the daemons wrote
  for name in n1 n2 slurmctld munged; do
    [ -s "$dir/$name.pid" ] && kill -"${1:-TERM}" "$(cat "$dir/$name.pid")" 2>/dev/null || true
  done
}

up() {
  for program in slurmctld slurmd munged; do
    command -v "$program" >/dev/null || { echo "$program is missing: apt-get install slurm-wlm munge" >&2; exit 1; }
  done
  [ "$(id -u)" = 0 ] || { echo "slurm_local.sh must run as root: slurmd starts jobs for other users" >&2; exit 1; }
  if [ -e "$SLURM_CONF" ] && sinfo >/dev/null 2>&1; then
    echo "export SLURM_CONF=$SLURM_CONF"
    return
  fi
  mkdir -p "$dir/state" "$dir/spool/n1" "$dir/spool/n2"
  chmod 755 "$dir"
  (umask 077; [ -e "$dir/munge.key" ] || head -c 1024 /dev/urandom >"$dir/munge.key")
  cat >"$SLURM_CONF" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$dir/munge.socket
SlurmctldPort=26820
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
StateSaveLocation=$dir/state
SlurmdPidFile=$dir/%n.pid
SlurmdLogFile=$dir/%n.log
SlurmdSpoolDir=$dir/spool/%n
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
KillWait=10
SlurmdTimeout=10
MinJobAge=300
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[26821-26822] CPUs=$cpus RealMemory=4000
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" >&2
  slurmctld -c >&2
  slurmd -N n1 >&2
  slurmd -N n2 >&2
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | sort -u | wc -l)" = 2 ]; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.5
  done
  echo "the nodes are not idle after 30 seconds; see $dir/slurmctld.log" >&2
  exit 1
}

down() {
  [ -e "$SLURM_CONF" ] || { echo "no cluster in $dir" >&2; return; }
  scancel --user="$(id -un)" 2>/dev/null || true
  stop TERM
  sleep 2
  stop KILL
  rm -rf "$dir"
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  node) slurmd -N "${2:?a node: n1 or n2}" ;;  # starts a node daemon again
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
