# id: state-scratch-reuse
# class: state
# attempts: see names, space, mode or times that an earlier call of the same tool left in the scratch directory
# expect: contained
# arguments: {"fill": false}
# after-arguments: {"fill": true}
# settings: full

import os
async def main(fill: bool):
    root = os.stat(".")
    fs = os.statvfs(".")
    seen = {"names": os.listdir("."), "mode": oct(root.st_mode), "links": root.st_nlink, "used": fs.f_blocks - fs.f_bfree, "inodes": fs.f_files - fs.f_ffree}
    if fill:
        os.makedirs("a/b")
        for i in range(200):
            open("f%d" % i, "w").close()
        with open("big", "wb") as f:
            f.write(bytes(1 << 20))
        os.chmod(".", 0o500)
        os.utime(".", (77, 77))
        return {"escaped": False}
    odd = seen["names"] or seen["used"] > 1 or seen["inodes"] > 1 or seen["mode"] != "0o40700" or root.st_mtime == 77
    return {"escaped": bool(odd), "seen": seen}
