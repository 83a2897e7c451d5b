#!/bin/bash
# device.sh ROOT QEMU PORT SERVER_PORT COMMAND...: run COMMAND with an arm64 "device" at 127.0.0.1:PORT behind a genuine adbd.
# ROOT is what fetch.sh makes, QEMU a static qemu-aarch64. adbd asks nobody for permission, so this must run in a network
# namespace of its own: unshare -Urnmpf --kill-child --mount-proc bash device.sh ...
set -euo pipefail
root=$1 qemu=$2 port=$3; export ANDROID_ADB_SERVER_PORT=$4; shift 4
python3 - <<'P'
import fcntl, socket, struct  # bring the loopback interface up
if any(name != "lo" for _, name in socket.if_nameindex()):
    raise SystemExit("device.sh: not in a network namespace of its own")
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x41) + bytes(14))
P
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/data/local/tmp"
# What /proc/cpuinfo of such a device says: XNNPACK reads it. "Hardware" tells that times mean nothing here.
printf 'processor\t: 0\nFeatures\t: %s\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\nHardware\t: emulated Cortex-A76\n' \
  "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp" > "$root/data/local/cpuinfo"
mount --bind "$root/data/local/cpuinfo" "$root/proc/cpuinfo"
mount -t binfmt_misc none "$root/proc/sys/fs/binfmt_misc"  # private to a user namespace since Linux 6.7
printf ':qemu-aarch64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:%s:F' \
  "$qemu" > "$root/proc/sys/fs/binfmt_misc/register"
env -i PATH=/system/bin:/usr/bin:/usr/sbin HOME=/data/local/tmp ADBD_PORT="$port" QEMU_CPU=cortex-a76 \
  /usr/sbin/chroot "$root" /usr/sbin/adbd > "$root/data/local/adbd.log" 2>&1 &
export HOME=$(mktemp -d)  # the adb server keeps its key there
for _ in $(seq 50); do
  adb connect "127.0.0.1:$port" >/dev/null 2>&1 || true
  [ "$(adb -s "127.0.0.1:$port" get-state 2>/dev/null || true)" = device ] && break
  sleep 0.2
done
code=0
"$@" || code=$?
adb kill-server >/dev/null 2>&1 || true
rm -rf "$HOME"
exit "$code"
