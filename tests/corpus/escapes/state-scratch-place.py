# id: state-scratch-place
# class: state
# attempts: leave a mark at the place of all scratch directories for later calls of the same tool, and see it
# expect: contained
# arguments: {"mark": false}
# after-arguments: {"mark": true}
# settings: full

import os
async def main(mark: bool):
    place = os.path.dirname(os.getcwd())
    if mark:
        for path in (place, "/scratch", "/dev/null", "/"):
            for act in (lambda: os.utime(path, ns=(123456789, 123456789)), lambda: os.chmod(path, 0o751)):
                try:
                    act()
                except OSError:
                    pass
        return {"escaped": False}
    seen = {path: [os.stat(path).st_mtime_ns, os.stat(path).st_atime_ns, oct(os.stat(path).st_mode)] for path in (place, "/dev/null", "/")}
    return {"escaped": any(123456789 in s or s[2].endswith("751") for s in seen.values()), "seen": seen}
