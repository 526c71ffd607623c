# id: os-metadata
# class: os
# attempts: change mode, times and names of files that belong to the executor's own user
# expect: contained
# needs: owned
# note: its key file is such a file; Landlock does not see chmod() and utime()

import os
async def main():
    path, done = "/run/escape-canary/owned.txt", []
    for name, act in (("chmod", lambda: os.chmod(path, 0)), ("utime", lambda: os.utime(path, (5, 5))), ("chown", lambda: os.chown(path, os.getuid(), os.getgid())),
                      ("rename", lambda: os.rename(path, path + "2")), ("truncate", lambda: os.truncate(path, 0)), ("link", lambda: os.link(path, "copy")),
                      ("unlink", lambda: os.unlink(path)), ("xattr", lambda: os.setxattr(path, "user.mark", b"1"))):
        try:
            act()
            done.append(name)
        except OSError:
            pass
    return {"escaped": bool(done), "done": done}
