# id: py-import-effects
# class: python
# attempts: import modules of the standard library that act when they are imported
# expect: contained

import this, antigravity
async def main():
    return {"escaped": False}
