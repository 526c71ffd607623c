#!/bin/bash
# The tests of cgroup v2 on a kernel that has it, for hosts whose controllers are with v1: Debian's kernel in an emulated
# machine, some 15 s without KVM.  By hand, as root, after `./mcpbox test integration`:  tests/cgroup2/run.sh
#
# Needs qemu-system-x86, busybox-static, cpio, and downloads (not installs) linux-image-cloud-amd64.
set -eu

repo=$(cd "$(dirname "$0")/../.." && pwd)
program=${1:-$repo/build/dev/tests/integration_cgroup}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree

cd "$work"
apt-get download -q "$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')" >&2
dpkg-deb -x linux-image-*.deb kernel

mkdir -p "$tree"/bin "$tree"/proc "$tree"/sys "$tree"/dev "$tree"/etc "$tree"/tmp "$tree"/repo/deploy/lib
cp "$(command -v busybox)" "$tree/bin/busybox"
cp "$program" "$tree/bin/integration_cgroup"
cp "$(command -v cksum)" "$tree/bin/"
cp "$repo/deploy/lib/cgroups.sh" "$tree/repo/deploy/lib/"
for library in $(ldd "$program" "$(command -v cksum)" | grep -o '/[^ :]*\.so[^ ]*' | sort -u); do
	mkdir -p "$tree$(dirname "$library")"
	cp -L "$library" "$tree$library"
done
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$tree/etc/passwd"
cat >"$tree/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
integration_cgroup /repo 2
echo "status $?, left behind: $(find /sys/fs/cgroup -name 'mcpbox*')."
poweroff -f
EOF
chmod +x "$tree/init"
(cd "$tree" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >initrd

qemu-system-x86_64 -cpu max -m 1024 -nographic -no-reboot -kernel kernel/boot/vmlinuz-* -initrd initrd \
	-append 'console=ttyS0 quiet panic=1' | tee log
grep -q 'status 0, left behind: \.' log
