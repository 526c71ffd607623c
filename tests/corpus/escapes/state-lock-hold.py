# id: state-lock-hold
# class: state
# attempts: hold a lock on a device file that other calls see too
# expect: contained
# arguments: {"hold": true}

import fcntl, os, struct, time
async def main(hold: bool):
    out, fds = [], []
    for path, how in (("/dev/null", os.O_RDWR), ("/dev/urandom", os.O_RDWR), ("/dev/null", os.O_WRONLY)):
        try:
            fds.append(os.open(path, how))
        except OSError as e:
            out.append(str(e))
    for fd in (0, *fds):
        try:
            fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 4711, 1, 0))
            out.append("locked")
        except OSError as e:
            out.append(type(e).__name__)
    if hold:
        time.sleep(2)
    return {"escaped": not hold and "BlockingIOError" in out, "out": out}
