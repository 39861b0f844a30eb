#!/bin/bash
# The lab's first process: lays out what the host's read-only file system lacks, runs one command, powers off.
# The kernel's command line gives LAB (tools), OUT (host folder with the command and for results), DIR (where to run).
export PATH=$LAB/tools/usr/sbin:$LAB/tools/sbin:$LAB/tools/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for place in /dev/shm /run /var/tmp /mnt; do mount -t tmpfs tmpfs $place; done
ln -sfn /proc/self/fd /dev/fd; ln -sf fd/0 /dev/stdin; ln -sf fd/1 /dev/stdout; ln -sf fd/2 /dev/stderr
mkdir -p /run/netns /run/out /run/tmp /run/lock
mount -t hostfs none /run/out -o "$OUT"
mount -t tmpfs tmpfs /sys/fs/cgroup 2>/dev/null
ip link set lo up
ulimit -n 65536
sysctl -qw kernel.printk='1 1 1 1' 2>/dev/null || echo 1 >/proc/sys/kernel/printk
cd "$DIR" && bash /run/out/command </dev/null >/run/out/log 2>&1
echo $? >/run/out/status
sync
echo o >/proc/sysrq-trigger
sleep 5
