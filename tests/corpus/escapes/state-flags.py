# id: state-flags
# class: state
# attempts: see status flags that an earlier call of the same tool set on an inherited open file
# expect: contained
# arguments: {"leave": false}
# after-arguments: {"leave": true}

import fcntl, os
async def main(leave: bool):
    odd = []
    for fd in range(5):
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        except OSError:
            continue
        if flags & (os.O_APPEND | os.O_NONBLOCK):
            odd.append((fd, oct(flags)))
        if leave and fd in (0, 3, 4):
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_APPEND)
    return {"escaped": not leave and bool(odd), "odd": odd}
