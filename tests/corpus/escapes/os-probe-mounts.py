# id: os-probe-mounts
# class: os
# attempts: find out by stat() what exists on the host
# expect: contained
# settings: full
# note: Landlock does not see stat(); only the own root hides what is there

import os
PATHS = ("/proc/self/stat", "/sys/kernel", "/root", "/home", "/etc/shadow", "/etc/passwd", "/run/escape-canary/file.txt", "/var", "/boot", "/bin/sh", "/usr/bin/env")
async def main():
    seen = [p for p in PATHS if os.path.lexists(p)]
    return {"escaped": bool(seen), "seen": seen, "root": sorted(p for p in ("/tmp", "/var", "/opt", "/srv", "/mnt") if os.path.lexists(p))}
