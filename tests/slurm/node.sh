#!/bin/sh
# A SLURM cluster of one node, this machine, with a partition `cpu` and a partition `gpu` (whose GPU is a name only),
# for tests/workflow/test_slurm.py. Run as root, with the Debian packages slurmctld, slurmd, slurm-client and munge:
#
#   apt-get install slurmctld slurmd slurm-client munge
#   pip install -e '.[slurm]'
#   sh tests/slurm/node.sh up        # writes /etc/slurm/slurm.conf, unless somebody else has
#   python -m pytest -m slurm
#   sh tests/slurm/node.sh down
set -eu
folder=/tmp/elbogap-slurm
host=$(hostname -s)
conf=/etc/slurm/slurm.conf  # jobs look nowhere else
mark="# made by elbogap"

ours() {
    if [ -e "$conf" ] && ! grep -q "^$mark" "$conf"; then
        echo "$conf is there already: this machine belongs to a cluster" >&2
        exit 1
    fi
}

up() {
    ours
    mkdir -p "$folder/state" "$folder/spool" /run/munge
    test -s /etc/munge/munge.key || { dd if=/dev/urandom bs=1 count=1024 of=/etc/munge/munge.key 2>/dev/null; }
    chown munge: /etc/munge/munge.key /run/munge && chmod 400 /etc/munge/munge.key
    pgrep -x munged >/dev/null || su -s /bin/sh munge -c /usr/sbin/munged
    memory=$(awk '/MemTotal/ {print int($2 / 1024) - 512}' /proc/meminfo)
    mkdir -p /etc/slurm
    cat >"$conf" <<CONF
$mark
ClusterName=elbogap
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge=3600
SchedulerParameters=sched_interval=1,batch_sched_delay=0
GresTypes=gpu
NodeName=$host CPUs=$(nproc) RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP
CONF
    echo "NodeName=$host Name=gpu File=/dev/null" >/etc/slurm/gres.conf
    pgrep -x slurmctld >/dev/null || slurmctld
    pgrep -x slurmd >/dev/null || slurmd
    for _ in $(seq 30); do
        sinfo -h -o %t 2>/dev/null | grep -q idle && break
        sleep 1
    done
    sinfo
}

down() {
    ours
    for daemon in slurmd slurmctld munged; do
        while pkill -x "$daemon"; do sleep 0.2; done
    done
    rm -rf "$conf" /etc/slurm/gres.conf "$folder"
}

"$1"
