# id: res-locks
# class: resource
# attempts: take very many byte-range locks, which live in kernel memory
# expect: contained
# needs: sibling

import fcntl, os, struct, time
async def main():
    fd = os.open("locks", os.O_RDWR | os.O_CREAT)
    end, n = time.monotonic() + 3, 0
    try:
        while time.monotonic() < end:
            for _ in range(1000):
                fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 2 * n, 1, 0))
                n += 1
    except OSError as e:
        return {"escaped": False, "locks": n, "error": str(e)}
    return {"escaped": False, "locks": n}
