# -*- coding: utf-7 -*-
# id: py-coding-cookie
# class: python
# attempts: hide statements in a comment by naming an encoding in which it ends early
# expect: ok
# want: {"escaped": false}

hidden = False
# +AAo-hidden = True
async def main():
    return {"escaped": hidden}
